"""Looks at runs that `cot eval` wrote: lists them, tells what one came to, and compares two sample by sample.

In: run folders, which are only read. Out: frozen models for tables and JSON. It asks no model and scores nothing.
"""

from cot.compare.listing import Found, Listed, find_runs
from cot.compare.pairing import Comparison, compare
from cot.compare.stored import Chosen, StoredRun, choose
from cot.compare.tally import Detail, Tally, detail

__all__ = [
    "Chosen", "Comparison", "Detail", "Found", "Listed", "StoredRun", "Tally", "choose", "compare", "detail",
    "find_runs",
]  # fmt: skip
