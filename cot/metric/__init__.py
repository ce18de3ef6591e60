"""Scores answers: a metric is a function of a model's text and a target, one file a family.

Knows nothing of models, data sets or runs. `find_metric` gives the metric of a name.
"""

from cot.metric.choice import option_of
from cot.metric.group import GroupTally
from cot.metric.judge import JUDGE, SCORE_PATTERN, VERDICT_TEMPLATE, VERDICTS, read_score, read_verdict
from cot.metric.named import AGGREGATES, METRICS, find_aggregate, find_metric, metric_options, reads_replies
from cot.metric.score import (
    Aggregate,
    AnswerType,
    Figures,
    Item,
    Metric,
    Score,
    Status,
    Tally,
    Target,
    errored,
    mean,
    scored,
    tally,
    unparsed,
)

__all__ = [
    "AGGREGATES", "JUDGE", "METRICS", "SCORE_PATTERN", "VERDICTS", "VERDICT_TEMPLATE", "Aggregate", "AnswerType",
    "Figures", "GroupTally", "Item", "Metric", "Score", "Status", "Tally", "Target", "errored", "find_aggregate",
    "find_metric", "mean", "metric_options", "option_of", "read_score", "read_verdict", "reads_replies", "scored",
    "tally", "unparsed",
]  # fmt: skip
