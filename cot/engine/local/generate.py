"""Generation through transformers' own `generate`, with our constraint, sampling and stopping.

In: a request. Out: a completion. One request at a time, in the thread that calls; any model family.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from cot.engine.base import Completion, Request, Timings, Usage
from cot.engine.local.constraint import ConstraintCompiler
from cot.engine.local.load import Loaded
from cot.engine.local.prompt import Prompt, Prompter
from cot.engine.local.row import Row
from cot.errors import EngineError


class AbandonedError(Exception):
    """The one who asked no longer waits."""


class Generator:
    """Answers requests with one loaded model. Not safe to call from two threads at once."""

    def __init__(self, loaded: Loaded):
        self._loaded = loaded
        self._prompter = Prompter(loaded)
        self._constraints = ConstraintCompiler(loaded.tokenizer, loaded.eos_ids)

    def run(
        self, request: Request, *, cancelled: Callable[[], bool], on_text: Callable[[str], None] | None = None
    ) -> Completion:
        """Answer `request`.

        on_text: called with the first sample's text, piece by piece.
        Raises EngineError with the reason, AbandonedError at the next token after `cancelled()` turns true.
        """
        try:
            return self._run(request, cancelled, on_text)
        except (EngineError, AbandonedError):
            raise
        except Exception as error:
            raise self._explain(error, request) from error

    def _run(
        self, request: Request, cancelled: Callable[[], bool], on_text: Callable[[str], None] | None
    ) -> Completion:
        _check(request)
        start = time.perf_counter()
        rows = self._rows(request, on_text)
        prompt = self._prompter.prompt(request.messages)
        room = self._loaded.info.context_tokens - prompt.tokens
        budget = min(request.max_tokens, room) if self._loaded.info.context_tokens else request.max_tokens
        for row in rows:
            row.max_tokens = budget
        driver = _Driver(rows, self._loaded.pad_id, cancelled)
        self._generate(prompt, budget, driver)
        end = time.perf_counter()
        first = driver.first_token_at or end
        return Completion(
            tuple(row.candidate() for row in rows) * (request.n // len(rows)),
            Usage(
                prompt_tokens=prompt.tokens,
                image_tokens=prompt.image_tokens,
                completion_tokens=sum(len(row.tokens) for row in rows),
                calls=1,
                batches=1,
            ),
            Timings(prefill_seconds=first - start, decode_seconds=end - first),
        )

    def _rows(self, request: Request, on_text: Callable[[str], None] | None) -> list[Row]:
        """One row a sample. Greedy samples are all the same: one row stands for them."""
        count = request.n if request.sampling.temperature > 0 else 1
        return [
            Row(
                request,
                index,
                tokenizer=self._loaded.tokenizer,
                eos_ids=self._loaded.eos_ids,
                constraint=self._constraints.start(request.constraint) if request.constraint else None,
                on_text=on_text if index == 0 else None,
            )
            for index in range(count)
        ]

    def _generate(self, prompt: Prompt, budget: int, driver: "_Driver") -> None:
        count = len(driver.rows)
        # `generate` refuses several greedy sequences, so several are "sampled" from scores that leave one token each.
        config = GenerationConfig(
            max_new_tokens=budget,
            num_return_sequences=count,
            do_sample=count > 1,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_beams=1,
            use_cache=True,
        )
        self._loaded.model.generate(
            **prompt.inputs,
            generation_config=config,
            logits_processor=[driver],
            stopping_criteria=[_RowsDone(driver.rows)],
        )

    def _explain(self, error: Exception, request: Request) -> EngineError:
        name, device = self._loaded.info.model, self._loaded.info.device
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in text:
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
            images = sum(not isinstance(part, str) for message in request.messages for part in message.content)
            return EngineError(
                f"out of memory on {device} for a request with {images} images, {request.n} samples and "
                f"{request.max_tokens} tokens; use fewer or smaller images, fewer samples, or a smaller model ({text})"
            )
        return EngineError(f"{name} failed on this request: {type(error).__name__}: {text}")


class _Driver(LogitsProcessor):
    """Lets the rows choose, and leaves `generate` no other token than theirs."""

    def __init__(self, rows: list[Row], pad_id: int, cancelled: Callable[[], bool]):
        self.rows = rows
        self.first_token_at: float | None = None
        self._pad_id = pad_id
        self._cancelled = cancelled

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: logits, shape (rows, vocab). Returns the same shape, -inf but for one token a row."""
        if self._cancelled():
            raise AbandonedError
        chosen = [self._pad_id if row.done else row.step(scores[i]) for i, row in enumerate(self.rows)]
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, torch.tensor(chosen, device=scores.device)[:, None], 0.0)
        return only


class _RowsDone(StoppingCriteria):
    """Ends `generate` when every row is done."""

    def __init__(self, rows: list[Row]):
        self._rows = rows

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Returns bool, shape (rows,)."""
        return torch.tensor([row.done for row in self._rows], device=input_ids.device)


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
            ("seed", sampling.seed, "at least 0", sampling.seed >= 0),
            ("messages", len(request.messages), "at least 1", len(request.messages) >= 1),
        )
        if not right
    ]
    if wrong:
        raise EngineError(f"bad request: got {'; '.join(wrong)}")
