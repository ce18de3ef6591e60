"""Samples that count together: a group is right if every one of its samples is.

In: samples, one after another. Out: for each group whether it is right, and which groups share images. Of a sample
nothing is kept; of a group its name and a few bytes.
"""

from array import array
from typing import Final

from cot.metric.score import Status

_RIGHT: Final = 0
_WRONG: Final = 1
_UNKNOWN: Final = 2


class GroupTally:
    """Adds samples up by group."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._states = bytearray()
        self._above = array("q")
        """Of each group one that it shares images with, in the end itself."""
        self._with_image: dict[str, int] = {}

    def add(self, group: str, status: Status, image: str) -> None:
        """Take a sample. image: what it shares with other samples, also those of other groups."""
        number = self._numbers.setdefault(group, len(self._numbers))
        if number == len(self._states):
            self._states.append(_RIGHT)
            self._above.append(number)
        state = _UNKNOWN if status == "errored" else _RIGHT if status == "correct" else _WRONG
        self._states[number] = max(self._states[number], state)
        self._above[self._top(number)] = self._top(self._with_image.setdefault(image, number))

    @property
    def right(self) -> list[bool | None]:
        """For each group, in the order in which they came, whether all of its samples are correct.

        None where one errored: then nobody knows. An unparsed answer is not correct.
        """
        return [None if state == _UNKNOWN else state == _RIGHT for state in self._states]

    @property
    def clusters(self) -> list[int]:
        """For each group a number that is the same for groups that share an image, also by way of others."""
        return [self._top(number) for number in range(len(self._above))]

    def _top(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = number = self._above[self._above[number]]
        return number
