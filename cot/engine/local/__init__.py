"""The local engine: any transformers image-text-to-text model, in this process, on CPU or GPU.

Importing this package imports neither torch nor transformers; `LocalEngine.load` does.
"""

from cot.engine.local.engine import LocalEngine

__all__ = ["LocalEngine"]
