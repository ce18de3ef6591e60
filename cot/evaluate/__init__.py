"""Runs tasks through strategies and scores what comes back, into a folder that a killed run goes on from.

In: loaded tasks, an engine, options. Out: `run.json`, `samples.jsonl` and `summary.json`. It compares no two runs.
"""

from cot.evaluate.definition import Definition
from cot.evaluate.folder import RunFolder
from cot.evaluate.options import Options, Watch
from cot.evaluate.result import SampleResult
from cot.evaluate.runner import evaluate
from cot.evaluate.select import Selection, select
from cot.evaluate.shard import Shard, find_shard
from cot.evaluate.summary import Summary, Tally

__all__ = [
    "Definition", "Options", "RunFolder", "SampleResult", "Selection", "Shard", "Summary", "Tally", "Watch", "evaluate",
    "find_shard", "select",
]  # fmt: skip
