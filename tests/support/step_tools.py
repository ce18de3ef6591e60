"""Functions that steps of users' own strategies may use as tools."""

import threading

from cot.image import LoadedImage

GO_ON = threading.Event()


def width(image: LoadedImage, times: int = 1) -> int:
    """Pixels a row."""
    return image.width * times


def letters(question: str, seen: str) -> str:
    """How long two texts are."""
    return f"{len(question)} and {len(seen)}"


def nothing() -> None:
    """What a tool gives that finds nothing."""


def fail(seen: str) -> int:
    """A tool that does not work."""
    raise ValueError(seen)


def hang() -> int:
    """A tool that takes too long."""
    GO_ON.wait(30)
    return 1
