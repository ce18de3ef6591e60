"""Engines: what answers a request. The contract and the scripted engine are here; neither loads a model.

`cot.engine.local` runs a model in this process and `cot.engine.remote` asks one on a server; each is imported only
when it is wanted.
"""

from cot.engine.base import (
    Candidate,
    Choices,
    Completion,
    Constraint,
    Delta,
    Engine,
    EngineInfo,
    FinishReason,
    JsonSchema,
    Message,
    Regex,
    Request,
    Sampling,
    Timings,
    TokenLogprob,
    Usage,
)
from cot.engine.scripted import ScriptedEngine

__all__ = [
    "Candidate",
    "Choices",
    "Completion",
    "Constraint",
    "Delta",
    "Engine",
    "EngineInfo",
    "FinishReason",
    "JsonSchema",
    "Message",
    "Regex",
    "Request",
    "Sampling",
    "ScriptedEngine",
    "Timings",
    "TokenLogprob",
    "Usage",
]
