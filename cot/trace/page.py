"""Writes traces, and what differs between two, as one HTML file that needs nothing else.

In: traces or a diff. Out: the text of a page, made harmless by `safe_page`. It runs no script but its own search over
several traces.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import jinja2
from PIL import Image

from cot.errors import ImageError, TraceError
from cot.image import LoadedImage, load_image
from cot.trace.diff import Diff, line_changes
from cot.trace.event import RunStarted, TracedImage
from cot.trace.images import KEPT
from cot.trace.plain import show_value
from cot.trace.read import Trace
from cot.trace.redact import REDACTED, in_words
from cot.trace.safe_page import PAGES, asset, page_environment, render
from cot.trace.show import before, chance, held_to, noted, percent, usage_line
from cot.trace.timeline import Bar, timeline
from cot.trace.tree import Node, Region, nodes, regions

MAX_SIDE: Final = 1024
"""Larger images are shrunk to this many pixels on their longer side."""

MAX_PAGE_CHARACTERS: Final = 256 * 2**20
"""Of a page of traces; few browsers open more."""


@dataclass
class Picture:
    """An image of a trace as a page shows it.

    regions: rectangles in pixels of the traced image, each with its name: x, y, width, height.
    problem: why there are no pixels.
    """

    traced: TracedImage
    problem: str = ""
    regions: list[tuple[str, float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A trace as a page shows it."""

    name: str
    trace: Trace
    started: RunStarted | None
    pictures: tuple[Picture, ...]
    nodes: tuple[Node, ...]
    bars: tuple[Bar, ...]
    total_seconds: float
    answer: str
    stop_reason: str
    cost: str


def traces_page(traces: Sequence[Trace]) -> str:
    """A page of one trace, or of several with an index that can be searched.

    Images come from beside the trace; each is in the page once, whatever the number of traces that show it.
    Raises TraceError for a page of more than `MAX_PAGE_CHARACTERS`.
    """
    pixels: dict[str, str] = {}
    runs = [_run(trace, pixels) for trace in traces]
    page = render_page(
        "traces.html.jinja",
        runs=runs,
        pixels=pixels,
        in_words=in_words,
        script=asset(PAGES / "search.js") if len(runs) > 1 else "",
    )
    _check_size(len(page))
    return page


def diff_page(diff: Diff) -> str:
    """A page of what differs between two traces."""
    return render_page("diff.html.jinja", diff=diff, line_changes=line_changes, in_words=in_words, script="")


def _check_size(characters: int) -> None:
    if characters > MAX_PAGE_CHARACTERS:
        raise TraceError(
            f"got traces whose page has more than {MAX_PAGE_CHARACTERS // 10**6} million characters, which few browsers"
            " open; name fewer, or leave their images out with --redact images"
        )


def _run(trace: Trace, pixels: dict[str, str]) -> Run:
    started, finished = trace.started, trace.finished
    answer = finished.answer if finished else None
    bars, total = timeline(trace)
    found = tuple(regions(trace))
    images = started.images if started else ()
    sources = {image.source for image in images}
    return Run(
        name=trace.name,
        trace=trace,
        started=started,
        pictures=tuple(_picture(trace, image, _on(image, sources, found), pixels) for image in images),
        nodes=nodes(trace),
        bars=bars,
        total_seconds=total,
        answer=answer.text if answer else "",
        stop_reason=finished.stop_reason if finished else "unfinished",
        cost=usage_line(finished.measured.usage, finished.measured.seconds.get("total", 0.0)) if finished else "",
    )


def _on(image: TracedImage, sources: set[str], found: tuple[Region, ...]) -> list[Region]:
    """Regions of an image: what names none of the `sources` may be of any."""
    return [region for region in found if image.source in (sources.intersection(region[2]) or sources)]


def _picture(trace: Trace, traced: TracedImage, found: Sequence[Region], pixels: dict[str, str]) -> Picture:
    picture = Picture(traced)
    path = trace.image_path(traced)
    if traced.source == REDACTED and not traced.sha256:
        picture.problem = "left out"
    elif path is None:
        picture.problem = "its name in the trace is no hash"
    elif traced.sha256 not in pixels:
        try:
            loaded = load_image(path, KEPT)
            if loaded.sha256 == traced.sha256:
                pixels[traced.sha256] = data_url(loaded)
                _check_size(sum(map(len, pixels.values())))
            else:
                picture.problem = "the file beside the trace holds another image"
        except ImageError:
            picture.problem = "there is no such image beside the trace"
            if path.exists():
                picture.problem = "the image beside the trace cannot be opened"
    for name, (left, top, right, bottom), _ in found:
        scale_x, scale_y = (traced.width, traced.height) if max(right, bottom) <= 1 else (1, 1)
        box = (left * scale_x, top * scale_y, (right - left) * scale_x, (bottom - top) * scale_y)
        picture.regions.append((name, *box))
    return picture


def data_url(image: LoadedImage) -> str:
    """PNG of small images; of large ones a smaller JPEG."""
    if max(image.width, image.height) <= MAX_SIDE:
        return f"data:image/png;base64,{base64.b64encode(image.to_png()).decode()}"
    smaller = image.pixels.copy()
    smaller.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def render_page(template: str, *, script: str, **values: Any) -> str:
    """A page of one of the templates in `pages/`; what it may run and load is the script alone, and images within."""
    return render(_environment(), template, style=asset(PAGES / "style.css"), script=script, **values)


@cache
def _environment() -> jinja2.Environment:
    environment = page_environment()
    environment.filters |= {"percent": percent, "value": show_value, "chance": chance, "listed": _listed}
    environment.filters |= {"held_to": held_to, "before": before, "noted": noted}
    return environment


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in (None, ""))
