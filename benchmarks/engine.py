"""The local engine against plain transformers on one checkpoint: `python -m benchmarks.engine`.

Prints ratios of one run, on easy-VQA's test questions, with the tokens compared: a plan's steps asked together against
one `generate` call each, over an image that nobody has seen, over one that a planning call has just seen (as the
planner's are), and with answers of a given length; a single question; and an evaluation's questions against a loop of
processor and `generate`, and against `generate` over all questions of an image at once. No comparison meets an image
of another. And what share of the machine's best speed at products of matrices the evaluation reaches, the arithmetic
counted that it cannot do without. The sides of each take turns, so that a machine that slows down slows all; where
other processes take most of it, `--processor-time` counts the processor's seconds instead of those on the wall.
`--harness` asks lm-evaluation-harness, too, as `benchmarks.harness` does. Figures on a GPU: `benchmarks.gpu`.
"""

import asyncio
import itertools
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import harness
from benchmarks.asking import Clock, ask, requests
from benchmarks.bound import best_flops, needed_flops
from benchmarks.figures import parser, report
from cot.engine import Completion, Message, Regex, Request
from cot.engine.local import LocalEngine

STEPS: Final = 6
LONG_TOKENS: Final = 24
LONG: Final = Regex(f"[a-z ]{{{32 * LONG_TOKENS}}}")
"""No answer ends before `LONG_TOKENS`: no token has more than 32 characters."""
ROUNDS: Final = 5
SINGLES: Final = 6
"""Single questions in a round: each takes so little time that a few would measure the machine's mood."""
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
        inputs = self._inputs(requests)
        most = max(request.max_tokens for request in requests)
        ids = self._model.generate(**inputs, max_new_tokens=most, min_new_tokens=least, do_sample=False)
        texts: list[str] = self._processor.batch_decode(
            ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return texts

    def needed_flops(self, request: Request, *, images: int, prompt: int, completion: int) -> float:
        """What so many images and tokens of prompts and answers take, told from a request: see `benchmarks.bound`."""
        inputs = self._inputs([request])
        return needed_flops(self._model, inputs, images=images, prompt=prompt, completion=completion)

    def _inputs(self, requests: Sequence[Request]) -> Any:
        conversations = [
            [{"role": "user", "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": part.pixels}
                for part in request.messages[0].content
            ]}]
            for request in requests
        ]  # fmt: skip
        return self._processor.apply_chat_template(
            conversations, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": True},
        )  # fmt: skip


def loop(
    plain: Plain, asked: Sequence[Request], *, together: int = 1, least: int = 0, clock: Clock = time.perf_counter
) -> tuple[list[str], float]:
    """Ask so many at a time, one batch after another. Returns the texts and the seconds."""
    begun = clock()
    batches = [asked[start : start + together] for start in range(0, len(asked), together)]
    return [text for batch in batches for text in plain.answer(batch, least=least)], clock() - begun


@dataclass
class Pairs:
    """Seconds of both sides by comparison, and how many texts were the same."""

    engine: LocalEngine
    plain: Plain
    clock: Clock
    slow: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    fast: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    same: int = 0
    total: int = 0

    async def run(self, name: str, asked: Sequence[Request]) -> list[Completion]:
        """The same requests on both sides."""
        texts, slow = loop(self.plain, asked, clock=self.clock)
        answers, fast = await ask(self.engine, asked, clock=self.clock)
        self.slow[name] += slow
        self.fast[name] += fast
        self.same += sum(answer.text.strip() == text.strip() for answer, text in zip(answers, texts, strict=True))
        self.total += len(texts)
        return answers

    async def run_long(self, asked: Sequence[Request]) -> None:
        """Answers of `LONG_TOKENS`, whatever they say; ours pays for the constraint that makes them long."""
        asked = [replace(request, max_tokens=LONG_TOKENS, constraint=LONG) for request in asked]
        self.slow["long plan"] += loop(self.plain, asked, least=LONG_TOKENS, clock=self.clock)[1]
        answers, seconds = await ask(self.engine, asked, clock=self.clock)
        self.fast["long plan"] += seconds
        if any(answer.usage.completion_tokens != LONG_TOKENS for answer in answers):
            raise SystemExit("error: an answer was shorter than the others; the comparison would not be fair")

    def speedup(self, name: str) -> float:
        """How many times faster ours was."""
        return self.slow[name] / self.fast[name]


async def measure(folder: Path, images: int, clock: Clock) -> dict[str, float]:
    """All figures; see the README for what they mean."""
    pairs = Pairs(LocalEngine.load(folder, device="cpu"), Plain(folder), clock)
    grouped = requests(images + (3 + SINGLES) * ROUNDS + 1)
    warm = grouped.pop()
    await ask(pairs.engine, warm)
    loop(pairs.plain, warm)
    first_tokens: list[float] = []
    for _ in range(ROUNDS):
        await pairs.run("plan", _plan(grouped.pop()))
        known = _plan(grouped.pop())
        await ask(pairs.engine, [_numbered(known[0], STEPS)])
        await pairs.run("known plan", known)
        await pairs.run_long(_plan(grouped.pop()))
        for _ in range(SINGLES):
            (answer,) = await pairs.run("single", grouped.pop()[:1])
            first_tokens.append(answer.timings.queue_seconds + answer.timings.prefill_seconds)
    answers = []
    for part in _parts(grouped):
        answers += await pairs.run("all", part)
        pairs.slow["batched"] += loop(pairs.plain, part, together=TOGETHER, clock=clock)[1]
    pairs.fast["batched"] = pairs.fast["all"]
    usage = [answer.usage for answer in answers]
    computed = sum(u.prompt_tokens - u.cached_tokens for u in usage)
    generated = sum(u.completion_tokens for u in usage)
    await pairs.engine.close()
    flops = pairs.plain.needed_flops(warm[0], images=len(grouped), prompt=computed, completion=generated)
    return {
        "plan_speedup_k6": pairs.speedup("plan"),
        "plan_speedup_k6_after_planning": pairs.speedup("known plan"),
        f"plan_speedup_k6_{LONG_TOKENS}_tokens": pairs.speedup("long plan"),
        "single_speedup": pairs.speedup("single"),
        "eval_speedup_vs_generate": pairs.speedup("all"),
        "eval_speedup_vs_batched_generate": pairs.speedup("batched"),
        "eval_questions_per_second": len(answers) / pairs.fast["all"],
        "generate_questions_per_second": len(answers) / pairs.slow["all"],
        "batched_generate_questions_per_second": len(answers) / pairs.slow["batched"],
        "eval_tokens_per_second": (computed + generated) / pairs.fast["all"],
        "eval_share_of_arithmetic_bound": flops / best_flops(clock) / pairs.fast["all"],
        "seconds_to_first_token": statistics.median(first_tokens),
        "same_predictions": pairs.same / pairs.total,
        "prefix_hit_rate": sum(u.cached_tokens for u in usage) / sum(u.prompt_tokens for u in usage),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _plan(group: list[Request]) -> list[Request]:
    """Steps over one image, told apart so that none finds another's whole prompt."""
    return [_numbered(request, index) for index, request in enumerate(itertools.islice(itertools.cycle(group), STEPS))]


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
    arguments.add_argument("--processor-time", action="store_true", help="count the processor's seconds")
    arguments.add_argument("--harness", action="store_true", help="compare with lm-evaluation-harness, too")
    harness.add_options(arguments)
    options = arguments.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    figures = asyncio.run(measure(options.model, options.images, clock))
    if options.harness:
        figures |= harness.measure(options.model, options.questions, options.environment)
    report(figures, options.json)


if __name__ == "__main__":
    main()
