"""Memory of the local engine under load: `python -m benchmarks.memory`.

First 500 requests over 200 images, all queued at once, with a small budget for keys and values: the most that these
ever took, which must be within the budget. Then thousands of requests in waves, with other images and words each time:
how fast the process grew over the second half, when every cache is full (that of images takes some 450 of them).
"""

import asyncio
import gc
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import linear_regression
from typing import Final

import numpy as np
import psutil
from PIL import Image

from benchmarks.asking import MAX_TOKENS
from benchmarks.figures import parser, report
from cot.engine import Message, Request
from cot.engine.local import LocalEngine
from cot.image import LoadedImage, from_pixels

QUEUED, IMAGES, WAVE = 500, 200, 100
MIB: Final = 1 << 20


def picture(number: int) -> LoadedImage:
    """Noise, another for each number."""
    noise = np.random.default_rng(number).integers(0, 256, (160, 160, 3), np.uint8)
    return from_pixels(Image.fromarray(noise), source=f"noise {number}")


def wave(first: int, images: int, requests: int) -> list[Request]:
    """Requests of various lengths over some images."""
    rng = random.Random(first)
    seen = [picture(first + number) for number in range(images)]
    return [
        Request((Message("user", (rng.choice(seen), f"{rng.random()} " * rng.randint(1, 8))),), MAX_TOKENS)
        for _ in range(requests)
    ]


async def largest(engine: LocalEngine, asked: list[Request]) -> int:
    """Ask all at once. Returns the most bytes that keys and values took, looked at every millisecond."""
    answers = asyncio.gather(*map(engine.complete, asked))
    most = 0
    while not answers.done():
        most = max(most, engine.kv_bytes)
        await asyncio.sleep(0.001)
    await answers
    return most


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def measure(folder: Path, requests: int, kv_mib: int) -> dict[str, float]:
    """All figures."""
    engine = LocalEngine.load(folder, device="cpu", kv_bytes=kv_mib * MIB)
    # Libraries keep millions of objects, which would be looked through in every wave.
    gc.collect()
    gc.freeze()
    most = await largest(engine, wave(0, IMAGES, QUEUED))
    if most > kv_mib * MIB:
        raise SystemExit(f"error: keys and values took {most} bytes; expected {kv_mib * MIB} at most")
    sizes: list[int] = []
    for first in _starts(requests):
        await asyncio.gather(*map(engine.complete, wave(first, WAVE // 5, WAVE)))
        sizes.append(resident())
    await engine.close()
    middle = len(sizes) // 2
    slope, _ = linear_regression(range(len(sizes) - middle), sizes[middle:])
    return {
        "kv_budget_mib": kv_mib,
        "kv_peak_mib": most / MIB,
        "requests": len(sizes) * WAVE,
        "resident_mib_halfway": sizes[middle] / MIB,
        "resident_mib_end": sizes[-1] / MIB,
        "growth_bytes_per_request": slope / WAVE,
    }


def _starts(requests: int) -> Iterator[int]:
    return itertools.islice(itertools.count(1000, 1000), max(requests // WAVE, 4))


def main() -> None:
    """Measure and report."""
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=5000, help="of the second part")
    arguments.add_argument("--kv-mib", type=int, default=32, help="budget for keys and values, MiB")
    options = arguments.parse_args()
    report(asyncio.run(measure(options.model, options.requests, options.kv_mib)), options.json)


if __name__ == "__main__":
    main()
