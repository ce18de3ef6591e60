"""Processors that insist on torchvision for videos, which this engine does not take: the same without videos.

In: a checkpoint folder. Out: its processor. Its images go through the checkpoint's own image processor.
"""

import importlib
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.auto import processing_auto

from cot.errors import EngineError

NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def image_only(kind: Any) -> Any:
    """A processor class like `kind`, made without a video processor."""
    signature = inspect.signature(kind.__init__)
    if "video_processor" not in signature.parameters:
        return kind

    def __init__(self: Any, image_processor: Any = None, tokenizer: Any = None, **settings: Any) -> None:
        kind.__init__(self, image_processor, tokenizer, video_processor=None, **settings)
        # Some look up their defaults for videos in every call.
        self.video_processor = SimpleNamespace(num_frames=0, fps=0)

    # transformers reads from the signature which parts and settings a processor has.
    kept = [parameter for name, parameter in signature.parameters.items() if name != "video_processor"]
    __init__.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return type(kind.__name__, (kind,), {"__init__": __init__})


def load_image_only(folder: Path) -> Any:
    """The processor of a checkpoint folder. Raises EngineError if it names no class that transformers has."""
    name = _class_name(folder)
    modules = [module for module, named in vars(processing_auto)["PROCESSOR_MAPPING_NAMES"].items() if named == name]
    kind = None
    for module in modules:
        try:
            # The public name may be a placeholder that only asks for torchvision.
            kind = getattr(importlib.import_module(f"transformers.models.{module}.processing_{module}"), name, kind)
        except ModuleNotFoundError:
            continue
    if kind is None:
        raise EngineError(f"{folder} names an unknown processor class {name!r}; expected one of transformers")
    kind = image_only(kind)
    parts: dict[str, Any] = {"image_processor": AutoImageProcessor, "tokenizer": AutoTokenizer}
    made = [parts[part].from_pretrained(folder, local_files_only=True) for part in kind.get_attributes()]
    settings, _ = kind.get_processor_dict(folder)
    known = set(inspect.signature(kind.__init__).parameters) - {*kind.get_attributes(), "self", "kwargs"}
    return kind(*made, **{name: value for name, value in settings.items() if name in known})


def _class_name(folder: Path) -> str:
    for name in NAMED_IN:
        if (folder / name).is_file():
            named = json.loads((folder / name).read_text(encoding="utf-8")).get("processor_class")
            if isinstance(named, str):
                return named
    raise EngineError(f"{folder} names no processor class; expected one in {NAMED_IN[0]}")
