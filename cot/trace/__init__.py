"""Traces: one folder a run, which alone tells why an answer came out. `read` gives one as typed events."""

from cot.trace.read import Trace, read

__all__ = ["Trace", "read"]
