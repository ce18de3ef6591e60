"""A request on its way through the engine: prepared, running, answered.

In: a request. Out: its prompt and rows, made once; at the end a `Completion` or an error for whoever waits.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from cot.engine.base import Completion, Request, Timings, Usage
from cot.engine.local.constraint import ConstraintCompiler
from cot.engine.local.load import Loaded
from cot.engine.local.prompt import Prompt, Prompter
from cot.engine.local.row import Row
from cot.engine.streaming import OnText
from cot.errors import EngineError, reason


@dataclass(eq=False)
class Job:
    """One request, its prompt, and a row for each sample.

    cached_tokens and batches: see `Usage`. Times are of `time.perf_counter`.
    """

    request: Request
    prompt: Prompt
    rows: list[Row]
    cancelled: Callable[[], bool]
    answer: "Future[Completion]"
    submitted: float
    started: float = 0.0
    first_token_at: float = 0.0
    cached_tokens: int = 0
    batches: int = 0

    @property
    def over(self) -> bool:
        """Answered, failed, or nobody waits."""
        return self.answer.done() or self.cancelled()

    def fail(self, error: EngineError) -> None:
        """Give up, and say why."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def finish(self) -> None:
        """Answer, if all rows are done."""
        if self.over or not all(row.done for row in self.rows):
            return
        end = time.perf_counter()
        first = self.first_token_at or end
        self.answer.set_result(
            Completion(
                tuple(row.candidate() for row in self.rows) * (self.request.n // len(self.rows)),
                Usage(
                    prompt_tokens=self.prompt.tokens,
                    cached_tokens=self.cached_tokens,
                    image_tokens=self.prompt.image_tokens,
                    completion_tokens=sum(len(row.tokens) for row in self.rows),
                    calls=1,
                    batches=self.batches,
                ),
                Timings(self.started - self.submitted, first - self.started, end - first),
            )
        )


class Preparer:
    """Makes jobs of requests. Not safe to call from two threads at once."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded
        self._prompter = Prompter(loaded)
        self._constraints = ConstraintCompiler(loaded.tokenizer, loaded.eos_ids)

    def prepare(
        self,
        request: Request,
        answer: "Future[Completion]",
        *,
        cancelled: Callable[[], bool],
        on_text: OnText | None,
    ) -> Job:
        """Check a request, render and tokenise its prompt, preprocess its images.

        answer: what will be told. on_text: called with the first sample's text, piece by piece. Raises EngineError.
        """
        submitted = time.perf_counter()
        _check(request)
        try:
            prompt = self._prompter.prompt(request.messages)
            rows = self._rows(request, prompt, on_text)
        except EngineError:
            raise
        except Exception as error:
            raise explain(error, self._loaded, [request]) from error
        room = self._loaded.info.context_tokens - prompt.tokens
        for row in rows:
            row.max_tokens = min(request.max_tokens, room) if self._loaded.info.context_tokens else request.max_tokens
        return Job(request, prompt, rows, cancelled, answer, submitted)

    def _rows(self, request: Request, prompt: Prompt, on_text: OnText | None) -> list[Row]:
        """One row a sample. Greedy samples are all the same: one row stands for them."""
        count = request.n if request.sampling.temperature > 0 else 1
        return [
            Row(
                request,
                index,
                prompt_ids=prompt.ids,
                tokenizer=self._loaded.tokenizer,
                eos_ids=self._loaded.eos_ids,
                constraint=self._constraints.start(request.constraint) if request.constraint else None,
                thinking=prompt.thinking,
                on_text=on_text if index == 0 else None,
            )
            for index in range(count)
        ]


def _check(request: Request) -> None:
    """Raises EngineError for settings out of range."""
    sampling = request.sampling
    wrong = [
        f"{name} {value} (expected {expected})"
        for name, value, expected, right in (
            ("max_tokens", request.max_tokens, "at least 1", request.max_tokens >= 1),
            ("n", request.n, "at least 1", request.n >= 1),
            ("temperature", sampling.temperature, "at least 0", 0 <= sampling.temperature < float("inf")),
            ("top_p", sampling.top_p, "above 0, at most 1", 0 < sampling.top_p <= 1),
            ("top_k", sampling.top_k, "at least 0", sampling.top_k >= 0),
            ("min_p", sampling.min_p, "at least 0, below 1", 0 <= sampling.min_p < 1),
            (
                "repetition_penalty",
                sampling.repetition_penalty,
                "above 0",
                0 < sampling.repetition_penalty < float("inf"),
            ),
            ("seed", sampling.seed, "at least 0", sampling.seed >= 0),
            ("messages", len(request.messages), "at least 1", len(request.messages) >= 1),
        )
        if not right
    ]
    if wrong:
        raise EngineError(f"bad request: got {'; '.join(wrong)}")


def explain(error: Exception, loaded: Loaded, requests: Sequence[Request]) -> EngineError:
    """One line for whatever a model raised while it answered these requests."""
    if isinstance(error, EngineError):
        return error
    import torch

    name, device = loaded.info.model, loaded.info.device
    text = reason(error)
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in text:
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        images = sum(
            not isinstance(part, str) for request in requests for turn in request.messages for part in turn.content
        )
        samples = sum(request.n for request in requests)
        tokens = max((request.max_tokens for request in requests), default=0)
        return EngineError(
            f"out of memory on {device} for {images} images, {samples} samples and {tokens} tokens; use fewer or "
            f"smaller images, fewer samples, or a smaller model ({text})"
        )
    return EngineError(f"{name} failed on this request: {type(error).__name__}: {text}")
