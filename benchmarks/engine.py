"""The local engine against plain transformers on one checkpoint: `python -m benchmarks.engine`.

Prints ratios of one run, on easy-VQA's test questions, with the tokens compared: a plan's steps asked together
against one `generate` call each, and an evaluation's questions against a loop of processor and `generate`.
The two sides of each comparison take turns, so that a machine that slows down slows both.
"""

import argparse
import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cot.config import weights_folder
from cot.engine import Completion, Message, Request
from cot.engine.local import LocalEngine
from cot.image import from_pixels
from cot.train.easyvqa import all_questions, image_path

MAX_TOKENS: Final = 8
STEPS: Final = 6
ROUNDS: Final = 5


class Plain:
    """The same checkpoint through transformers alone: one conversation, one `generate` call."""

    def __init__(self, folder: Path):
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._processor: Any = AutoProcessor.from_pretrained(folder)
        self._model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, request: Request) -> str:
        """Greedy text for a request of one user message."""
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part.pixels}
            for part in request.messages[0].content
        ]
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        ids = self._model.generate(**inputs, max_new_tokens=request.max_tokens, do_sample=False)[0]
        text: str = self._processor.decode(ids[inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text


def requests(images: int) -> list[list[Request]]:
    """The test questions of the first images, by image."""
    grouped = sorted(all_questions("test").items())[:images]
    found = []
    for number, asked in grouped:
        picture = from_pixels(Image.open(image_path("test", number)).convert("RGB"), source=f"easy-vqa {number}")
        found.append([
            Request((Message("user", (picture, f"{question}\nAnswer briefly.")),), MAX_TOKENS) for question, _ in asked
        ])  # fmt: skip
    return found


async def ask(engine: LocalEngine, asked: Sequence[Request]) -> tuple[list[Completion], float]:
    """Ask all together. Returns the answers and the seconds."""
    begun = time.perf_counter()
    answers = await asyncio.gather(*map(engine.complete, asked))
    return list(answers), time.perf_counter() - begun


def loop(plain: Plain, asked: Sequence[Request]) -> tuple[list[str], float]:
    """Ask one after another. Returns the texts and the seconds."""
    begun = time.perf_counter()
    return [plain.answer(request) for request in asked], time.perf_counter() - begun


async def measure(folder: Path, images: int) -> dict[str, float]:
    """All figures; see the README for what they mean."""
    engine, plain = LocalEngine.load(folder, device="cpu"), Plain(folder)
    grouped = requests(images + ROUNDS + 1)
    warm = grouped.pop()
    await ask(engine, warm)
    loop(plain, warm)
    plans = [list(itertools.islice(itertools.cycle(grouped.pop()), STEPS)) for _ in range(ROUNDS)]
    same, total = 0, 0
    seconds = {"plan": [0.0, 0.0], "single": [0.0, 0.0], "all": [0.0, 0.0]}

    async def pair(name: str, asked: Sequence[Request]) -> list[Completion]:
        nonlocal same, total
        texts, slow = loop(plain, asked)
        answers, fast = await ask(engine, asked)
        seconds[name][0] += slow
        seconds[name][1] += fast
        same += sum(answer.text.strip() == text.strip() for answer, text in zip(answers, texts, strict=True))
        total += len(texts)
        return answers

    for plan in plans:
        # Told apart, so that no step finds another's whole prompt.
        await pair("plan", [_numbered(request, index) for index, request in enumerate(plan)])
    for group in grouped[:ROUNDS]:
        await pair("single", [_numbered(group[0], 7)])
    answers = [answer for part in _parts(grouped) for answer in await pair("all", part)]
    usage = [answer.usage for answer in answers]
    await engine.close()
    return {
        "plan_speedup_k6": seconds["plan"][0] / seconds["plan"][1],
        "single_speedup": seconds["single"][0] / seconds["single"][1],
        "eval_speedup_vs_generate": seconds["all"][0] / seconds["all"][1],
        "eval_questions_per_second": len(answers) / seconds["all"][1],
        "generate_questions_per_second": len(answers) / seconds["all"][0],
        "same_predictions": same / total,
        "prefix_hit_rate": sum(u.cached_tokens for u in usage) / sum(u.prompt_tokens for u in usage),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _numbered(request: Request, index: int) -> Request:
    picture, text = request.messages[0].content
    return replace(request, messages=(Message("user", (picture, f"{index}. {text}")),))


def _parts(grouped: list[list[Request]]) -> list[list[Request]]:
    """Thirty images' questions at a time."""
    return [
        [request for group in grouped[start : start + 30] for request in group] for start in range(0, len(grouped), 30)
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=weights_folder(), help="a LLaVA checkpoint folder")
    parser.add_argument("--images", type=int, default=90, help="images whose questions are asked")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = {name: round(value, 4) for name, value in asyncio.run(measure(options.model, options.images)).items()}
    for name, value in figures.items():
        sys.stdout.write(f"{name:32} {value:10.3f}\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
