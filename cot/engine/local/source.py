"""Where a checkpoint's files are: a local folder, or a hub id that the user named.

In: `embedded`, a folder or `owner/name`. Out: a folder with a config and safetensors weights, and its revision.
Reads no model. Reaches the network for a hub id only, and only if it may.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from cot.errors import ConfigError, EngineError, ModelNameError, did_you_mean
from cot.model import CALIBRATION_FILE, EMBEDDED, model_folder
from cot.source import shown

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LIKE_SERVER = re.compile(r"localhost(/v1)?/?(#.*)?|[\w.-]+:[0-9]{1,5}([/#].*)?", re.DOTALL)
"""A server's address whose `http://` was forgotten: `localhost:8000/v1`."""
HUB_TIMEOUT_SECONDS = 5.0
SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
WANTED_FILES = [*SMALL_FILES, "*.safetensors"]
UNWANTED_FILES = ["*/*.safetensors", "consolidated*.safetensors"]
"""Second copies of the weights in other layouts, which transformers does not read."""

SETTINGS = ["*.json", "*.jinja"]
"""Small files that change what a model answers."""

HASHED_WHOLE_BYTES = 256 * 2**20
SAMPLED_BLOCKS = 64
SAMPLED_BLOCK_BYTES = 2**20

INSTEAD = f"name the model {EMBEDDED} to use the one that comes along, or give a local checkpoint folder"


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk. name: as the user gave it. revision: commit or content hash of the files."""

    name: str
    folder: Path
    revision: str
    weight_bytes: int


def find_source(model: str | Path, *, revision: str | None = None, fetch: bool = True) -> Source:
    """The checkpoint that `model` names: `embedded`, a folder, or a hub id, downloaded or from its cache.

    revision: branch, tag or commit of a hub id; a folder has none. fetch: whether the hub may be asked.
    Raises EngineError if there is no such folder or hub id, or it lacks a config or safetensors weights, and
    ConfigError for a hub id that is not in the cache where the hub may not be asked.
    """
    folder = _folder(model)
    if folder is not None:
        if revision is not None:
            raise EngineError(f"got revision {revision!r} for the folder {model}; only a hub id has revisions: omit it")
        weights = _check_folder(folder)
        return Source(str(model), folder, _hash_files(folder, weights), _size(weights))
    folder = _download(_checked_id(model), revision, WANTED_FILES, fetch=fetch)
    if not fetch and not any(folder.glob("*.safetensors")):
        raise _not_here(str(model))
    return Source(str(model), folder, folder.name, _size(_check_folder(folder)))


def find_settings(model: str | Path, *, fetch: bool = True) -> Path:
    """The folder of a checkpoint's small files: config, processor, templates. Weights are not needed, nor fetched.

    fetch and errors as for `find_source`, but for the weights.
    """
    folder = _folder(model) or _download(_checked_id(model), None, SMALL_FILES, fetch=fetch)
    _check_config(folder)
    return folder


def _checked_id(model: str | Path) -> str:
    if isinstance(model, str) and LIKE_SERVER.fullmatch(model):
        raise ModelNameError(
            f"no model folder at {shown(model)}; expected a checkpoint folder or a hub id owner/name; "
            f"a server's URL begins with http://, did you mean {shown(f'http://{model}')}?"
        )
    if isinstance(model, Path) or not HUB_ID.fullmatch(model):
        raise ModelNameError(
            f"no model folder at {shown(str(model))}{did_you_mean(str(model), [EMBEDDED])}; "
            f"expected an existing checkpoint folder or a hub id owner/name; or {INSTEAD}"
        )
    return model


def _folder(model: str | Path) -> Path | None:
    """The folder that `model` names, if there is one. Raises ModelNameError if the name is empty."""
    if isinstance(model, str) and not model.strip():
        raise ModelNameError(
            f"the model's name is empty; expected a checkpoint folder or a hub id owner/name; or {INSTEAD}"
        )
    return model_folder(model)


def _check_folder(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder."""
    _check_config(folder)
    weights = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if not weights:
        raise EngineError(
            f"{folder} has no *.safetensors weights; other formats can run code when read and are not loaded: "
            f"convert it with save_pretrained, or {INSTEAD}"
        )
    return weights


def _check_config(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise EngineError(f"{folder} is no model checkpoint: it has no config.json; {INSTEAD}")


def _size(weights: list[Path]) -> int:
    return sum(path.stat().st_size for path in weights)


def _hash_files(folder: Path, weights: list[Path]) -> str:
    """SHA-256 over the weights and what says how to use them: configs, tokenizer, templates.

    Of large weights only evenly spaced blocks are read, and the result says so.
    """
    whole = _size(weights) <= HASHED_WHOLE_BYTES
    digest = hashlib.sha256()
    found = (path for ending in SETTINGS for path in folder.glob(ending) if path.is_file())
    # A calibration names the hash of what it was made with, and changes no answer of the model.
    for path in sorted(path for path in found if path.name != CALIBRATION_FILE):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if whole:
                for block in iter(lambda: file.read(SAMPLED_BLOCK_BYTES), b""):
                    digest.update(block)
                continue
            for index in range(SAMPLED_BLOCKS):
                file.seek(max(0, size - SAMPLED_BLOCK_BYTES) * index // (SAMPLED_BLOCKS - 1))
                digest.update(file.read(SAMPLED_BLOCK_BYTES))
    return f"{'sha256' if whole else 'sha256-sampled'}:{digest.hexdigest()}"


def _download(model: str, revision: str | None, wanted: list[str], *, fetch: bool) -> Path:
    """The hub's snapshot folder of a model, which is named by its commit. fetch: as for `find_source`."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub import errors as hub
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    hub_logging.set_verbosity(logging.CRITICAL)
    disable_progress_bars()
    at = f" at revision {revision!r}" if revision else ""
    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                etag_timeout=HUB_TIMEOUT_SECONDS,
                allow_patterns=wanted,
                ignore_patterns=UNWANTED_FILES,
                local_files_only=not fetch,
            )
        )
    except hub.GatedRepoError:
        reason = "its owner restricts access: accept its terms there and run `hf auth login`"
    except hub.RevisionNotFoundError:
        reason = "it has no such revision"
    except hub.RepositoryNotFoundError:
        reason = "there is no such model, or it is private"
    except (hub.HFValidationError, hub.HfHubHTTPError, OSError, ValueError, ImportError) as error:
        if not fetch:
            raise _not_here(model) from error
        cause = error.__cause__ or error
        reason = f"not in the local cache, and not reachable ({_first_line(cause)}): check the name and the network"
    raise EngineError(f"cannot get {model}{at} from {constants.ENDPOINT}: {reason}; or {INSTEAD}")


def _not_here(model: str) -> ConfigError:
    from huggingface_hub import constants

    return ConfigError(
        f"the model {shown(model)} is not whole in the local cache, and would be fetched from {constants.ENDPOINT} "
        f"without your having named it; if you want it, name it yourself, with --model or COT_MODEL; or {INSTEAD}"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
