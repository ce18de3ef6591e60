"""Numbers of things in the lines that commands print."""


def counted(n: int, noun: str) -> str:
    """`1 sample`, `1200 samples`. noun: one that takes an s."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def pace(seconds: float, samples: int) -> str:
    """`83.1 s, 2.41 samples/s`. seconds: wall clock; the pace is left out where it is 0."""
    return f"{seconds:,.1f} s" + (f", {samples / seconds:,.3g} samples/s" if seconds else "")
