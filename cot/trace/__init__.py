"""Traces: one folder a run, which alone tells why an answer came out."""
