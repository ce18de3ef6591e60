"""The four plots of a task: accuracy by category, risk and coverage, calibration, and accuracy against tokens."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from cot.report.collect import Column, Report
from cot.report.svg import Plot, Scored, dot_rows
from cot.stats import calibration_error, risk_coverage

BINS: Final = 10
_SHOWN_CATEGORIES: Final = 20
_CURVE_POINTS: Final = 200


@dataclass(frozen=True)
class Drawn:
    """A plot with its heading and what must be known to read it."""

    heading: str
    svg: Markup
    caption: str


def plots(report: Report, task: str) -> list[Drawn]:
    """Those of a task that there are numbers for."""
    columns = {f"c{number}": column for number, column in enumerate(report.columns) if task in column.details}
    sure = {kind: column for kind, column in columns.items() if any(column.tallies[task].confidences)}
    drawn = [_tokens(columns, task)]
    if any(column.details[task].categories for column in columns.values()):
        drawn.insert(0, _by_category(columns, task))
    if sure:
        drawn += [_risk(sure, task), _calibration(sure, task)]
    return drawn


def _by_category(columns: dict[str, Column], task: str) -> Drawn:
    sizes: dict[str, int] = {}
    dots: dict[str, list[Scored]] = {}
    for kind, column in columns.items():
        for one in column.details[task].categories:
            if one.score is not None:
                sizes[one.category] = max(sizes.get(one.category, 0), one.n)
                title = f"{column.name}: {one.category}: {one.score:.1%} of {one.scored}"
                dots.setdefault(one.category, []).append((kind, one.score, one.interval, title))
    largest = sorted(sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN_CATEGORIES])
    left_out = f"; the {_SHOWN_CATEGORIES} largest of {len(sizes)}" if len(sizes) > len(largest) else ""
    svg = dot_rows(f"{task}: score by category", [(name or "no category", dots[name]) for name in largest])
    return Drawn("Score by category", svg, f"with 95% intervals{left_out}")


def _tokens(columns: dict[str, Column], task: str) -> Drawn:
    places = {}
    for kind, column in columns.items():
        part = column.details[task].part
        tokens = part.usage.get("prompt_tokens", 0) + part.usage.get("completion_tokens", 0)
        if part.score is not None:
            places[kind] = (tokens / part.n, part.score, part.interval)
    most = max((x for x, _, _ in places.values()), default=0) * 1.1 or 1.0
    plot = Plot(f"{task}: score against tokens", "tokens a sample, in and out", "score", max(most, 1.1))
    for kind, (x, y, interval) in places.items():
        plot.dot(x, y, kind, f"{columns[kind].name}: {y:.1%} with {x:.0f} tokens", interval)
    return Drawn("Score against tokens", plot.markup(), "with 95% intervals; up and to the left is better")


def _risk(columns: dict[str, Column], task: str) -> Drawn:
    plot = Plot(f"{task}: risk and coverage", "coverage: share of answers given, the surest first", "share wrong")
    areas = []
    for kind, column in columns.items():
        tally = column.tallies[task]
        curve = risk_coverage(tally.confidences, [bool(one) for one in tally.right])
        step = -(-len(curve.points) // _CURVE_POINTS)
        plot.line([*curve.points[::step], curve.points[-1]], kind, f"{column.name}: area {curve.area:.3f}")
        areas.append(f"{column.name} {curve.area:.3f}")
    return Drawn("Risk and coverage", plot.markup(), f"area below the curve, lower is better: {', '.join(areas)}")


def _calibration(columns: dict[str, Column], task: str) -> Drawn:
    plot = Plot(f"{task}: calibration", "confidence", "share right")
    plot.line([(0, 0), (1, 1)], "even")
    errors = []
    for kind, column in columns.items():
        tally = column.tallies[task]
        right = [bool(one) for one in tally.right]
        bins: dict[int, list[tuple[float, bool]]] = {}
        for confidence, is_right in zip(tally.confidences, right, strict=True):
            bins.setdefault(min(int(confidence * BINS), BINS - 1), []).append((confidence, is_right))
        dots = [
            (
                sum(confidence for confidence, _ in found) / len(found),
                sum(ok for _, ok in found) / len(found),
                len(found),
            )
            for _, found in sorted(bins.items())
        ]
        plot.line([(x, y) for x, y, _ in dots], kind)
        for x, y, n in dots:
            plot.dot(x, y, kind, f"{column.name}: {n} answers, confidence {x:.1%}, right {y:.1%}")
        errors.append(f"{column.name} {calibration_error(tally.confidences, right, bins=BINS):.3f}")
    return Drawn("Calibration", plot.markup(), f"expected calibration error, lower is better: {', '.join(errors)}")
