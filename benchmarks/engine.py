"""The local engine against plain transformers on one checkpoint: `python -m benchmarks.engine`.

Prints ratios of one run, on easy-VQA's test questions, with the tokens compared: a plan's steps asked together
against one `generate` call each, with answers as short as they come and with answers of a given length; and an
evaluation's questions against a loop of processor and `generate`, and against `generate` over all questions of an
image at once. The sides of each comparison take turns, so that a machine that slows down slows all.
"""

import asyncio
import itertools
import resource
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks.figures import parser, report
from cot.engine import Completion, Message, Regex, Request
from cot.engine.local import LocalEngine
from cot.image import from_pixels
from cot.train.easyvqa import all_questions, image_path

MAX_TOKENS: Final = 8
STEPS: Final = 6
LONG_TOKENS: Final = 24
LONG: Final = Regex(f"[a-z ]{{{8 * LONG_TOKENS}}}")
"""No answer ends before `LONG_TOKENS`."""
ROUNDS: Final = 5
TOGETHER: Final = 10
"""Questions of a batch of plain `generate`, about as many as an image has."""


class Plain:
    """The same checkpoint through transformers alone: one conversation, one `generate` call."""

    def __init__(self, folder: Path):
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._processor: Any = AutoProcessor.from_pretrained(folder)
        self._model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, requests: Sequence[Request], *, least: int = 0) -> list[str]:
        """Greedy texts for requests of one user message, of at least `least` tokens, in one batch."""
        conversations = [
            [{"role": "user", "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part.pixels}
                for part in request.messages[0].content
            ]}]
            for request in requests
        ]  # fmt: skip
        inputs = self._processor.apply_chat_template(
            conversations, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": True},
        )  # fmt: skip
        most = max(request.max_tokens for request in requests)
        ids = self._model.generate(**inputs, max_new_tokens=most, min_new_tokens=least, do_sample=False)
        texts: list[str] = self._processor.batch_decode(
            ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return texts


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


def loop(plain: Plain, asked: Sequence[Request], *, together: int = 1, least: int = 0) -> tuple[list[str], float]:
    """Ask so many at a time, one batch after another. Returns the texts and the seconds."""
    begun = time.perf_counter()
    batches = [asked[start : start + together] for start in range(0, len(asked), together)]
    return [text for batch in batches for text in plain.answer(batch, least=least)], time.perf_counter() - begun


@dataclass
class Pairs:
    """Seconds of both sides by comparison, and how many texts were the same."""

    engine: LocalEngine
    plain: Plain
    slow: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    fast: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    same: int = 0
    total: int = 0

    async def run(self, name: str, asked: Sequence[Request]) -> list[Completion]:
        """The same requests on both sides."""
        texts, slow = loop(self.plain, asked)
        answers, fast = await ask(self.engine, asked)
        self.slow[name] += slow
        self.fast[name] += fast
        self.same += sum(answer.text.strip() == text.strip() for answer, text in zip(answers, texts, strict=True))
        self.total += len(texts)
        return answers

    async def run_long(self, asked: Sequence[Request]) -> None:
        """Answers of `LONG_TOKENS`, whatever they say; ours pays for the constraint that makes them long."""
        asked = [replace(request, max_tokens=LONG_TOKENS, constraint=LONG) for request in asked]
        self.slow["long plan"] += loop(self.plain, asked, least=LONG_TOKENS)[1]
        answers, seconds = await ask(self.engine, asked)
        self.fast["long plan"] += seconds
        if any(answer.usage.completion_tokens != LONG_TOKENS for answer in answers):
            raise SystemExit("error: an answer was shorter than the others; the comparison would not be fair")

    def speedup(self, name: str) -> float:
        """How many times faster ours was."""
        return self.slow[name] / self.fast[name]


async def measure(folder: Path, images: int) -> dict[str, float]:
    """All figures; see the README for what they mean."""
    pairs = Pairs(LocalEngine.load(folder, device="cpu"), Plain(folder))
    grouped = requests(images + 2 * ROUNDS + 1)
    warm = grouped.pop()
    await ask(pairs.engine, warm)
    loop(pairs.plain, warm)
    # Told apart, so that no step finds another's whole prompt.
    plans = [
        [_numbered(request, index) for index, request in enumerate(itertools.islice(itertools.cycle(group), STEPS))]
        for group in (grouped.pop() for _ in range(2 * ROUNDS))
    ]
    for plan in plans[:ROUNDS]:
        await pairs.run("plan", plan)
    for plan in plans[ROUNDS:]:
        await pairs.run_long(plan)
    for group in grouped[:ROUNDS]:
        await pairs.run("single", [_numbered(group[0], 7)])
    answers = []
    for part in _parts(grouped):
        answers += await pairs.run("all", part)
        pairs.slow["batched"] += loop(pairs.plain, part, together=TOGETHER)[1]
    pairs.fast["batched"] = pairs.fast["all"]
    usage = [answer.usage for answer in answers]
    await pairs.engine.close()
    return {
        "plan_speedup_k6": pairs.speedup("plan"),
        f"plan_speedup_k6_{LONG_TOKENS}_tokens": pairs.speedup("long plan"),
        "single_speedup": pairs.speedup("single"),
        "eval_speedup_vs_generate": pairs.speedup("all"),
        "eval_speedup_vs_batched_generate": pairs.speedup("batched"),
        "eval_questions_per_second": len(answers) / pairs.fast["all"],
        "generate_questions_per_second": len(answers) / pairs.slow["all"],
        "batched_generate_questions_per_second": len(answers) / pairs.slow["batched"],
        "same_predictions": pairs.same / pairs.total,
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
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=int, default=90, help="images whose questions are asked")
    options = arguments.parse_args()
    report(asyncio.run(measure(options.model, options.images)), options.json)


if __name__ == "__main__":
    main()
