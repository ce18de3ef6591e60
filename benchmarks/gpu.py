"""Decoding of a model of billions of parameters: `python -m benchmarks.gpu --device cuda`.

Builds a LLaVA of random weights (speed does not need trained ones) on the device, and measures it in bfloat16, and as
NF4 and int8 of bitsandbytes, plain and compiled: tokens a second of batches of several sizes, the bytes of weights,
keys and values that a pass has to read as a share of what the same device copies at the same time, the time to the
first token of an image that nobody has seen, and the most memory that it took. What cannot be measured is named with
its reason. Nothing is downloaded. `--size tiny` takes the same way in seconds, on a CPU too.
"""

import argparse
import asyncio
import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from benchmarks.asking import ask
from benchmarks.figures import report
from cot.engine import Completion, Message, Request
from cot.engine.local import LocalEngine
from cot.engine.local.load import Loaded, load, pick_device
from cot.errors import EngineError, reason
from cot.image import LoadedImage, from_pixels

PRECISIONS: Final = {"bf16": "none", "nf4": "nf4", "int8": "int8"}
KV_SHARE: Final = 0.6
"""Share of free memory for keys and values: nothing else runs here, and all rows of a batch must fit."""
FIRST_TOKENS: Final = 3


@dataclass(frozen=True)
class Size:
    """A LLaVA. text and vision: settings of decoder and tower. side: of images, pixels. tokens: of each answer.

    copied: bytes of the copies that the bandwidth is told from.
    """

    text: dict[str, Any]
    vision: dict[str, Any]
    side: int
    tokens: int
    copied: int


def _size(hidden: int, inner: int, layers: int, heads: int) -> Size:
    text = {
        "vocab_size": 32_064, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": hidden // heads,
        "max_position_embeddings": 4096, "initializer_range": 0.02,
    }  # fmt: skip
    clip = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    return Size(text, clip, side=336, tokens=128, copied=2**30)


SIZES: Final = {
    # Wide enough for 4 bits on a CPU, which wants inputs in multiples of 64.
    "tiny": Size(
        {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "initializer_range": 0.02},
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        side=28, tokens=6, copied=2**22,
    ),
    "3b": _size(2560, 6912, 32, 20),
    "7b": _size(4096, 11_008, 32, 32),
}  # fmt: skip


@dataclass
class Figures:
    """What was measured by name, and why some was not."""

    found: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def unless_it_fails(self, name: str) -> Iterator[None]:
        """Name what an engine cannot do, and go on."""
        try:
            yield
        except (EngineError, RuntimeError) as error:
            self.skipped[name] = reason(error)


def build(folder: Path, size: Size, device: str) -> None:
    """Save a checkpoint of random weights, which are drawn on the device."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from tiny_models import llava_parts
    from transformers import AutoModelForImageTextToText

    config, processor = llava_parts(size.text, size.vision, size.side)
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def copy_bandwidth(size: int, device: str) -> float:
    """Bytes read and written a second where so many are copied on the device, the best of some tries."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        _wait(device)
        begun = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = max(best, 2 * size / (time.perf_counter() - begun))
    return best


def read_bytes(loaded: Loaded, rows: int, length: float) -> float:
    """Bytes that a pass has to read: the decoder's weights, and keys and values of so many rows of this length.

    The scales of quantised weights are not counted.
    """
    model = loaded.model
    embeddings = {id(one) for one in model.get_input_embeddings().parameters()}
    weights = {
        id(one): one for part in (model.get_decoder(), model.get_output_embeddings()) for one in part.parameters()
    }
    text = model.config.get_text_config()
    token: int = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * model.dtype.itemsize
    held: int = sum(one.nbytes for key, one in weights.items() if key not in embeddings)
    return held + rows * length * token


async def measure(
    loaded: Loaded, size: Size, batches: list[int], name: str, compile: bool, figures: Figures, bandwidth: float
) -> None:
    """All figures of one precision, compiled or not."""
    device = str(loaded.model.device)
    free = torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else 2**30
    # No answer ends before its last token.
    engine = LocalEngine(replace(loaded, eos_ids=()), kv_bytes=int(free * KV_SHARE), compile=compile)
    try:
        if compile and engine.info.note:
            figures.skipped[name] = engine.info.note
            return
        await ask(engine, [_request(size, picture(size, 0), "warm")])
        waits = []
        for number in range(1, FIRST_TOKENS + 1):
            (answer,), _ = await ask(engine, [_request(size, picture(size, number), "first", tokens=1)])
            waits.append(answer.timings.queue_seconds + answer.timings.prefill_seconds)
        figures.found[f"{name}_seconds_to_first_token"] = statistics.median(waits)
        for rows in batches:
            with figures.unless_it_fails(f"{name}_batch_{rows}"):
                asked = [_request(size, picture(size, 0), f"{index} of {rows}") for index in range(rows)]
                # The first time warms up, and compiles where that is wanted.
                await ask(engine, asked)
                _decoding(loaded, (await ask(engine, asked))[0], f"{name}_batch_{rows}", figures, bandwidth)
        if compile and engine.info.note:
            figures.skipped[name] = engine.info.note
    finally:
        await engine.close()


def picture(size: Size, number: int) -> LoadedImage:
    """Noise, another for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (size.side, size.side, 3), np.uint8)
    return from_pixels(Image.fromarray(noise), source=f"noise {number}")


def _request(size: Size, image: LoadedImage, text: str, tokens: int | None = None) -> Request:
    return Request((Message("user", (image, text)),), tokens or size.tokens)


def _decoding(loaded: Loaded, answers: list[Completion], name: str, figures: Figures, bandwidth: float) -> None:
    """Figures of answers that were decoded together."""
    times = [answer.timings for answer in answers]
    # What was asked last waited least, unless it had to wait for others to end.
    if times[-1].queue_seconds > times[0].queue_seconds:
        figures.skipped[name] = "its rows did not all run at once: too little memory, or more than a batch takes"
        return
    usage = answers[0].usage
    passes = usage.completion_tokens - 1
    # All end with the same pass; the last to join has only decoded since.
    seconds = min(one.decode_seconds for one in times)
    length = usage.prompt_tokens + usage.completion_tokens / 2
    figures.found[f"{name}_tokens_per_second"] = len(answers) * passes / seconds
    moved = read_bytes(loaded, len(answers), length) * passes / seconds
    figures.found[f"{name}_share_of_copy_bandwidth"] = moved / bandwidth


async def run(size: Size, device: str, batches: list[int]) -> Figures:
    """Build, load in each precision, and measure."""
    figures = Figures()
    loaded: Loaded | None = None
    bandwidth = copy_bandwidth(size.copied, device)
    figures.found["copy_gigabytes_per_second"] = bandwidth / 1e9
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), size, device)
        for precision, quantize in PRECISIONS.items():
            _forget_peak(device)
            with figures.unless_it_fails(precision):
                loaded = load(folder, device=device, dtype="bfloat16", quantize=quantize)
                await measure(loaded, size, batches, precision, False, figures, bandwidth)
                figures.found[f"{precision}_peak_memory_mb"] = _peak(device)
                with figures.unless_it_fails(f"{precision}_compiled"):
                    await measure(loaded, size, batches, f"{precision}_compiled", True, figures, bandwidth)
            # Also where it failed: the next one would not fit beside it.
            loaded = None
    return figures


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _forget_peak(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> float:
    """MiB that the model took at most: of the GPU, or else of the process since it began."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", choices=SIZES, default="7b", help="parameters (default 7b)")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    arguments.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64], help="rows decoded together")
    arguments.add_argument("--json", type=Path, help="file for the figures")
    options = arguments.parse_args()
    if min(options.batches) < 1:
        arguments.error(f"got --batches {min(options.batches)}; expected at least 1 row")
    try:
        figures = asyncio.run(run(SIZES[options.size], pick_device(options.device), options.batches))
    except EngineError as error:
        raise SystemExit(f"error: {error}") from error
    report(figures.found, options.json, skipped=figures.skipped)


if __name__ == "__main__":
    main()
