"""Write a quantised checkpoint: an ordinary folder that loads again without saying how.

In: a checkpoint folder or hub id. Out: a new folder with the quantised weights and all of its small files.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cot.engine.base import EngineInfo
from cot.engine.local.anatomy import read_config
from cot.engine.local.load import DTYPES, import_quietly, load
from cot.engine.local.quantize import METHODS, stored_method
from cot.engine.local.source import SMALL_FILES, Source, find_source
from cot.errors import EngineError, UsageError, reason


def save_quantized(model: str | Path, out: Path, *, method: str, device: str = "auto") -> EngineInfo:
    """Quantise a checkpoint and save it to `out`, all of it or nothing.

    method: nf4, fp4 or int8. What is not quantised stays in the checkpoint's own number format.
    Raises UsageError for another method, and EngineError if `out` holds something or cannot be written, or the
    checkpoint is quantised already or cannot be.
    """
    if method not in METHODS:
        raise UsageError(f"unknown quantisation {method!r}; expected {', '.join(METHODS)}")
    _check_empty(out)
    source = find_source(model)
    dtype = _dtype(source)
    # First of all, since loading may take minutes.
    with _work_folder(out) as folder:
        loaded = load(model, device=device, dtype=dtype if dtype in DTYPES else "auto", quantize=method)
        loaded.model.save_pretrained(folder)
        # The source's own words last: what it says about ends of answers was taken off the loaded model.
        for path in {path for pattern in SMALL_FILES for path in source.folder.glob(pattern) if path.is_file()}:
            if path.name != "config.json" and not path.name.endswith(".safetensors.index.json"):
                shutil.copyfile(path, folder / path.name)
        # safetensors lets nobody else read what it writes, whatever the umask says.
        for path in folder.glob("*.safetensors"):
            shutil.copymode(folder / "config.json", path)
        try:
            folder.rename(out)
        except OSError as error:
            raise _unwritable(out, error) from error
    return loaded.info


def _check_empty(out: Path) -> None:
    if out.name in ("", ".."):
        raise EngineError(f"got {out}; expected the name of a new folder for the quantised checkpoint")
    try:
        is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise _unwritable(out, error) from error
    if not is_free:
        raise EngineError(f"{out} is not empty; expected a new folder for the quantised checkpoint: name another")


def _dtype(source: Source) -> str:
    """The number format of a checkpoint that is not quantised. Raises EngineError if it is, or has no good config."""
    import_quietly()
    try:
        config = read_config(source.folder)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(f"cannot load the model of {source.name}: {reason(error)}") from error
    if (stored := stored_method(config)) != "none":
        raise EngineError(f"{source.name} is already quantised ({stored}); name the one that it was made from")
    return str(config.dtype).removeprefix("torch.")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, which is gone at the end unless it was renamed. Raises EngineError if it cannot be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        raise _unwritable(out, error) from error
    with work as path:
        folder = Path(path) / "checkpoint"
        folder.mkdir()
        yield folder


def _unwritable(out: Path, error: OSError) -> EngineError:
    return EngineError(f"cannot write to {out}: {error.strerror}; expected a place for a new folder: name another")
