"""The metrics and aggregates by the names that task files use."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Final, get_args, get_type_hints

from cot.errors import ConfigError
from cot.metric.anls import anls
from cot.metric.choice import multiple_choice
from cot.metric.exact import containment, exact_match, gqa_accuracy
from cot.metric.judge import JUDGE, judge
from cot.metric.mathvista import mathvista
from cot.metric.mme import mme, mme_figures
from cot.metric.mmmu import mmmu, mmmu_open
from cot.metric.pope import pope, pope_figures
from cot.metric.relaxed import relaxed_accuracy
from cot.metric.score import Aggregate, Metric, Score
from cot.metric.vqa import soft_accuracy

METRICS: Final[Mapping[str, Callable[..., Score]]] = {
    "anls": anls,
    "choice": multiple_choice,
    "contains": containment,
    "exact": exact_match,
    "gqa": gqa_accuracy,
    JUDGE: judge,
    "mathvista": mathvista,
    "mme": mme,
    "mmmu": mmmu,
    "mmmu_open": mmmu_open,
    "pope": pope,
    "relaxed": relaxed_accuracy,
    "vqa_soft": soft_accuracy,
}

AGGREGATES: Final[Mapping[str, Aggregate]] = {"mme": mme_figures, "pope": pope_figures}
"""What samples give together, beyond a mean."""


def find_metric(name: str, options: Mapping[str, str] | None = None) -> Metric:
    """The metric of this name, with these options set. Raises ConfigError for one that there is not."""
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
    function, known = METRICS[name], metric_options(name)
    for option, value in (options or {}).items():
        if option not in known:
            listed = ", ".join(known) if known else "it has none"
            raise ConfigError(f"unknown option {option!r} of the metric {name!r}; known: {listed}")
        if known[option] and value not in known[option]:
            raise ConfigError(f"unknown {option} {value!r} of the metric {name!r}; known: {', '.join(known[option])}")
    return functools.partial(function, **dict(options or {}))


def reads_replies(metric: Metric) -> bool:
    """Whether a metric finds the choice in a reply that says more than that, as official parsers do."""
    return isinstance(metric, functools.partial) and metric.func in (multiple_choice, mmmu, mathvista)


def metric_options(name: str) -> dict[str, tuple[str, ...]]:
    """The options of a metric, and what each may be, its default first; nothing where it may be any text."""
    hints = get_type_hints(METRICS[name])
    options = inspect.signature(METRICS[name]).parameters.values()
    return {option.name: get_args(hints[option.name]) for option in options if option.kind is option.KEYWORD_ONLY}


def find_aggregate(name: str) -> Aggregate:
    """The aggregate of this name. Raises ConfigError if there is none."""
    if name not in AGGREGATES:
        raise ConfigError(f"unknown aggregate {name!r}; known: {', '.join(AGGREGATES)}")
    return AGGREGATES[name]
