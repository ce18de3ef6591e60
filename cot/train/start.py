"""What a training run starts from: a tokenizer, and a finished checkpoint.

In: what the command line names. Out: a tokenizer, the weights of a finished checkpoint.
What is wrong with them is found here, before hours of training. It trains nothing.
"""

import math
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer

from cot.engine.local.load import load
from cot.errors import DataError, reason
from cot.train.model import SIZES, SPECIAL_TOKENS, train_tokenizer
from cot.train.sample import GRID


def load_tokenizer(folder: Path, size: str, init: Path | None, *, resumed: bool) -> Tokenizer:
    """The tokenizer of a run, kept in its folder: that of a finished checkpoint, if it starts from one, or trained.

    resumed: the run has a checkpoint, which means nothing with another tokenizer than the one beside it. One that lies
    there without a checkpoint may be of another size or version, and is not used.
    Raises DataError if it is missing, damaged, or not the embedded model's.
    """
    path = folder / "tokenizer.json"
    origin = init / path.name if init else path
    if init and not origin.is_file():
        raise DataError(f"--init {init} has no {path.name}; expected a checkpoint that 'cot train embedded' wrote")
    if resumed and not origin.is_file():
        raise DataError(f"{folder} has a checkpoint without its {path.name}; put it back, or name another --work")
    if not init and not resumed:
        new = path.with_suffix(".new")
        trained = train_tokenizer(SIZES[size].vocabulary, samples=300 if size == "tiny" else 6000)
        new.write_text(trained.to_str(pretty=True), encoding="utf-8")
        new.replace(path)
    try:
        tokenizer = Tokenizer.from_file(str(origin))
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{origin} is damaged: {reason(error)}; name another folder, or take it away") from error
    if missing := [name for name in SPECIAL_TOKENS if tokenizer.token_to_id(name) is None]:
        raise DataError(f"{origin} lacks {', '.join(missing)}; expected the tokenizer of the embedded model")
    if init:
        shutil.copyfile(origin, path)
    return tokenizer


def finished_weights(init: Path) -> dict[str, torch.Tensor]:
    """The weights of a finished checkpoint, in float32, for patches of which there may be more or fewer.

    Raises EngineError if it is none or damaged.
    """
    weights: dict[str, torch.Tensor] = load(init, device="cpu", dtype="float32").model.state_dict()
    places = ".position_embedding.weight"
    return {name: for_grid(one) if name.endswith(places) else one for name, one in weights.items()}


def for_grid(places: torch.Tensor) -> torch.Tensor:
    """Position embeddings of the class token and a square of patches, for `GRID` times `GRID` patches: bicubic.

    Both (1 + patches, width). Where no square follows the first row, they stay as they are, and do not fit the model.
    """
    side = math.isqrt(len(places) - 1)
    if side == GRID or side**2 != len(places) - 1:
        return places
    square = places[1:].T.unflatten(1, (side, side))[None]
    resized = torch.nn.functional.interpolate(square, (GRID, GRID), mode="bicubic", align_corners=False)
    return torch.cat([places[:1], resized[0].flatten(1).T])
