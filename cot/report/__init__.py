"""Reports runs: one HTML page that needs nothing else, Markdown, and files that other programs read.

In: runs under their strategies, which are only read. Out: text. It asks no model and scores nothing.
"""

from cot.report.collect import Report, collect
from cot.report.csv_file import write_csv
from cot.report.data_images import DataImages
from cot.report.lm_eval import lm_eval_results
from cot.report.markdown import markdown
from cot.report.page import report_page
from cot.report.parquet_file import write_parquet

__all__ = [
    "DataImages", "Report", "collect", "lm_eval_results", "markdown", "report_page", "write_csv", "write_parquet",
]  # fmt: skip
