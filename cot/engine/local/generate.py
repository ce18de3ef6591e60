"""Generation through transformers' own `generate`, with our constraint, sampling and stopping.

In: prepared jobs. Out: their answers, one at a time. For every model family: the slower path for those that
`cot.engine.local.batch` cannot serve.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from cot.engine.local.job import Job, explain
from cot.engine.local.load import Loaded
from cot.engine.local.row import take_next
from cot.errors import EngineError


class AbandonedError(Exception):
    """Nobody waits for the answer any more."""


class OneByOne:
    """Answers jobs with one loaded model, in order. Not safe to call from two threads at once.

    abandoned: whether to stop at the next token, whoever waits.
    """

    kv_bytes = 0

    def __init__(self, loaded: Loaded, *, abandoned: Callable[[], bool]):
        self._loaded = loaded
        self._abandoned = abandoned
        self._waiting: deque[Job] = deque()

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether more jobs would only wait longer."""
        return self.busy

    def add(self, job: Job) -> None:
        """Let a job wait for its turn."""
        self._waiting.append(job)

    def step(self) -> None:
        """Answer the next job."""
        job = self._waiting.popleft()
        if job.over:
            return
        job.started = time.perf_counter()
        job.batches = 1
        try:
            self._generate(job)
        except AbandonedError:
            if not job.over:
                self._waiting.appendleft(job)
            return
        except Exception as error:
            job.fail(explain(error, self._loaded, [job.request]))
        job.finish()

    def fail(self, error: EngineError) -> None:
        """Fail everything that waits."""
        for job in self._waiting:
            job.fail(error)
        self._waiting.clear()

    def _generate(self, job: Job) -> None:
        count = len(job.rows)
        # `generate` refuses several greedy sequences, so several are "sampled" from scores that leave one token each.
        config = GenerationConfig(
            max_new_tokens=job.rows[0].max_tokens,
            num_return_sequences=count,
            do_sample=count > 1,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_beams=1,
            use_cache=True,
        )
        self._loaded.model.generate(
            **job.prompt.inputs,
            generation_config=config,
            logits_processor=[_Driver(job, self._loaded.pad_id, self._abandoned)],
            stopping_criteria=[_RowsDone(job)],
        )


class _Driver(LogitsProcessor):
    """Lets the rows choose, and leaves `generate` no other token than theirs."""

    def __init__(self, job: Job, pad_id: int, abandoned: Callable[[], bool]):
        self._job = job
        self._pad_id = pad_id
        self._abandoned = abandoned

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores: logits, shape (rows, vocab). Returns the same shape, -inf but for one token a row."""
        if self._job.over or self._abandoned():
            raise AbandonedError
        chosen = [self._pad_id] * len(scores)
        going = [index for index, row in enumerate(self._job.rows) if not row.done]
        for index, taken in zip(
            going, take_next([self._job.rows[i] for i in going], scores[going].float(), ahead=False), strict=True
        ):
            if isinstance(taken, EngineError):
                raise taken
            chosen[index] = taken[0]
        self._job.first_token_at = self._job.first_token_at or time.perf_counter()
        only = torch.full_like(scores, -torch.inf)
        only.scatter_(1, torch.tensor(chosen, device=scores.device)[:, None], 0.0)
        return only


class _RowsDone(StoppingCriteria):
    """Ends `generate` when every row is done."""

    def __init__(self, job: Job):
        self._job = job

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """Returns bool, shape (rows,)."""
        return torch.tensor([row.done for row in self._job.rows], device=input_ids.device)
