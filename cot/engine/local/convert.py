"""Write a quantised checkpoint: an ordinary folder that loads again without saying how.

In: a checkpoint folder or hub id. Out: a new folder with the quantised weights and all of its small files.
"""

import shutil
import tempfile
from pathlib import Path

from cot.engine.base import EngineInfo
from cot.engine.local.anatomy import read_config
from cot.engine.local.load import DTYPES, import_quietly, load
from cot.engine.local.quantize import METHODS, stored_method
from cot.engine.local.source import SMALL_FILES, find_source
from cot.errors import EngineError, reason


def save_quantized(model: str | Path, out: Path, *, method: str, device: str = "auto") -> EngineInfo:
    """Quantise a checkpoint and save it to `out`, all of it or nothing.

    method: nf4, fp4 or int8. What is not quantised stays in the checkpoint's own number format.
    Raises EngineError if `out` holds something, or the checkpoint is quantised already or cannot be.
    """
    if method not in METHODS:
        raise EngineError(f"unknown quantisation {method!r}; expected {', '.join(METHODS)}")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise EngineError(f"{out} is not empty; expected a new folder for the quantised checkpoint: name another")
    source = find_source(model)
    import_quietly()
    try:
        config = read_config(source.folder)
    except Exception as error:
        raise EngineError(f"cannot load the model of {model}: {reason(error)}") from error
    if stored_method(config) != "none":
        raise EngineError(f"{model} is already quantised ({stored_method(config)}); name the one that it was made from")
    dtype = str(config.dtype).removeprefix("torch.")
    loaded = load(model, device=device, dtype=dtype if dtype in DTYPES else "auto", quantize=method)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as work:
        folder = Path(work) / "checkpoint"
        loaded.model.save_pretrained(folder)
        # The source's own words last: what it says about ends of answers was taken off the loaded model.
        for path in {path for pattern in SMALL_FILES for path in source.folder.glob(pattern) if path.is_file()}:
            if path.name != "config.json" and not path.name.endswith(".safetensors.index.json"):
                shutil.copyfile(path, folder / path.name)
        folder.rename(out)
    return loaded.info
