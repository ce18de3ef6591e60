"""Numbers of things in the lines that commands print."""


def counted(n: int, noun: str) -> str:
    """`1 sample`, `1200 samples`. noun: one that takes an s."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
