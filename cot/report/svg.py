"""Draws plots as inline SVG: what a page shows without a script.

In: numbers and names. Out: SVG elements as text. Colours are classes `c0`, `c1`, … of the page's style sheet.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree

from markupsafe import Markup

from cot.trace.plain import escaped

WIDTH: Final = 460
HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 22, 12, 42

_TITLE_CHARACTERS: Final = 300

Points = Iterable[tuple[float, float]]


@dataclass
class Plot:
    """Axes to draw on; values on the vertical one are shares in [0, 1]. x_most: where the horizontal one ends, > 0."""

    label: str
    x_label: str
    y_label: str
    x_most: float = 1.0
    _svg: ElementTree.Element = field(init=False)

    def __post_init__(self) -> None:
        self._svg = _root(self.label, WIDTH, HEIGHT)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = self.y(share)
            _add(self._svg, "line", "grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y)
            _text(self._svg, f"{share:.0%}", _LEFT - 6, y + 4, "end")
        for value in ticks(self.x_most):
            _text(self._svg, f"{value:g}" if self.x_most > 1 else f"{value:.0%}", self.x(value), HEIGHT - 24, "middle")
        _text(self._svg, self.x_label, (WIDTH + _LEFT) / 2, HEIGHT - 6, "middle")
        _text(self._svg, self.y_label, 12, HEIGHT / 2, "middle", transform=f"rotate(-90 12 {HEIGHT / 2:g})")

    def x(self, value: float) -> float:
        """Where a value lies."""
        return _LEFT + min(max(value / self.x_most, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        """Where a share lies."""
        return HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - _BOTTOM - _TOP)

    def line(self, points: Points, kind: str, title: str = "") -> None:
        """A line through points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        _titled(_add(self._svg, "polyline", f"line {kind}", points=path), title)

    def dot(self, x: float, y: float, kind: str, title: str, interval: tuple[float, float] | None = None) -> None:
        """A dot, with an interval above and below it."""
        if interval:
            _add(self._svg, "line", f"bar {kind}", x1=self.x(x), x2=self.x(x), y1=self.y(interval[0]),
                 y2=self.y(interval[1]))  # fmt: skip
        _titled(_add(self._svg, "circle", kind, cx=self.x(x), cy=self.y(y), r=4), title)

    def markup(self) -> Markup:
        """The element."""
        return Markup(ElementTree.tostring(self._svg, encoding="unicode"))


Scored = tuple[str, float, tuple[float, float] | None, str]
"""A class, a score in [0, 1], its interval, and what is told of it."""


def dot_rows(label: str, rows: Sequence[tuple[str, Sequence[Scored]]]) -> Markup:
    """A line of dots with intervals for each name, from 0 to 100%."""
    left, height = 170, 34 + sum(8 + 12 * len(dots) for _, dots in rows)
    svg = _root(label, WIDTH + 100, height)

    def x(share: float) -> float:
        return left + share * (WIDTH + 100 - left - _RIGHT)

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _add(svg, "line", "grid", x1=x(share), x2=x(share), y1=4, y2=height - 26)
        _text(svg, f"{share:.0%}", x(share), height - 10, "middle" if share < 1 else "end")
    y = 6.0
    for name, dots in rows:
        _text(svg, name if len(name) <= 24 else f"{name[:23]}…", left - 8, y + 6 * len(dots) + 6, "end")
        for kind, score, interval, title in dots:
            y += 12
            if interval:
                _add(svg, "line", f"bar {kind}", x1=x(interval[0]), x2=x(interval[1]), y1=y, y2=y)
            _titled(_add(svg, "circle", kind, cx=x(score), cy=y, r=4), title)
        y += 8
    return Markup(ElementTree.tostring(svg, encoding="unicode"))


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most` (> 0), four to eight of them."""
    step = 10 ** math.floor(math.log10(most / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if most / (step * factor) <= 7)
    return [step * number for number in range(int(most / step + 1e-9) + 1)]


def _root(label: str, width: float, height: float) -> ElementTree.Element:
    return ElementTree.Element(
        "svg", {"viewBox": f"0 0 {width:g} {height:g}", "class": "plot", "role": "img", "aria-label": escaped(label)}
    )


def _add(parent: ElementTree.Element, tag: str, kind: str, **places: float | str) -> ElementTree.Element:
    plain = {name: value if isinstance(value, str) else f"{value:.1f}" for name, value in places.items()}
    return ElementTree.SubElement(parent, tag, {"class": kind, **plain})


def _text(svg: ElementTree.Element, text: str, x: float, y: float, anchor: str, **more: str) -> None:
    element = _add(svg, "text", "label", x=x, y=y, **{"text-anchor": anchor}, **more)
    element.text = escaped(text)


def _titled(element: ElementTree.Element, title: str) -> None:
    if title:
        shown = title if len(title) <= _TITLE_CHARACTERS else f"{title[:_TITLE_CHARACTERS]}…"
        ElementTree.SubElement(element, "title").text = escaped(shown)
