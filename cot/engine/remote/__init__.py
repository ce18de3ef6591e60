"""The remote engine: models behind OpenAI-compatible servers (vLLM, SGLang, llama.cpp, Ollama, OpenAI)."""

from cot.engine.remote.dialect import DIALECTS, Dialect
from cot.engine.remote.engine import RemoteEngine
from cot.engine.remote.http import Limits

__all__ = ["DIALECTS", "Dialect", "Limits", "RemoteEngine"]
