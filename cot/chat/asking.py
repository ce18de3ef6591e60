"""Asks the planner one message of a conversation.

In: the question, the images, settings, and where the engine is. Out: a `Turn`, whatever happens: what goes wrong and
being interrupted are told by its stop reason. Only faults of the program are raised.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from cot.chat.engines import Engines
from cot.chat.memory import remembered, remembers, summarised
from cot.chat.turn import Turn
from cot.engine.base import EngineInfo
from cot.errors import CotError
from cot.image import LoadedImage
from cot.model import EMBEDDED
from cot.planner import ask as planner
from cot.planner.asked import storable
from cot.question import Earlier, Question
from cot.settings import Settings
from cot.shipped import weights_folder
from cot.step import Step
from cot.trace.event import Measured
from cot.trace.images import described
from cot.trace.record import Recorder
from cot.trace.redact import whats


def begun(question: str, images: Sequence[LoadedImage], attached: Sequence[str], settings: Settings) -> Turn:
    """The turn before anything came of it. attached: SHA-256 of the images that came with the question."""
    return Turn(
        question=storable(question),
        images=tuple(described(image) for image in images),
        attached=tuple(attached),
        strategy=settings.strategy,
        model={"name": storable(settings.model)},
    )


async def ask(
    turn: Turn,
    before: Sequence[Turn],
    images: Sequence[LoadedImage],
    settings: Settings,
    engines: Engines,
    on_engine: Callable[[EngineInfo], None],
    on_step: Callable[[Step], None],
) -> Turn:
    """The turn with its answer. Cancelling the task gives the turn as far as it came, with `cancelled`.

    before: the turns that it follows. on_engine: called with what answers, once it is loaded.
    """
    steps: list[Step] = []
    recorder: Recorder | None = None

    def keep(step: Step) -> None:
        steps.append(step)
        on_step(step)

    try:
        engine = await engines.ready(settings)
        on_engine(engine.info)
        turn = turn.model_copy(update={"model": _named(engine.info, settings)})
        with Recorder(settings.trace_dir, redact=whats(settings.redact)) as recorder:
            turn = turn.model_copy(update={"trace": storable(str(recorder.path))})
            earlier = remembered(before, turn.images) if remembers(settings) else Earlier()
            question = Question(turn.question, tuple(images), earlier=earlier)
            outcome = await planner.ask(question, engine, settings, recorder=recorder, on_step=keep)
    except asyncio.CancelledError:
        # The task is this turn and nothing else, so it ends here, with what was said kept.
        return turn.model_copy(update={"steps": tuple(steps), "stop_reason": "cancelled", **_left_by(recorder)})
    except CotError as error:
        notes = (storable(str(error)),)
        return turn.model_copy(
            update={"steps": tuple(steps), "stop_reason": "error", "notes": notes, **_left_by(recorder)}
        )
    found = {
        "steps": outcome.steps,
        "answer": outcome.answer,
        "stop_reason": outcome.stop_reason,
        "notes": tuple(storable(note) for note in outcome.notes),
        "usage": dataclasses.asdict(outcome.usage),
        "seconds": outcome.seconds,
        "understood": storable(outcome.question) if outcome.question != turn.question else "",
        **summarised(before, outcome.earlier),
        "longest_tokens": outcome.longest_tokens,
        "context_tokens": engine.info.context_tokens,
    }
    return turn.model_copy(update=found)


def _left_by(recorder: Recorder | None) -> dict[str, Any]:
    """Fields of a turn whose run gave no outcome: that there is no trace, if nothing came into it, and what it cost, as
    its trace tells it, if the model was asked."""
    # A recorder takes a trace without events away again.
    left: dict[str, Any] = {} if recorder and recorder.path.exists() else {"trace": None}
    measured = recorder.finished.measured if recorder and recorder.finished else Measured()
    if measured.usage.get("calls"):
        left |= {"usage": measured.usage, "seconds": measured.seconds["total"]}
    return left


def _named(info: EngineInfo, settings: Settings) -> dict[str, str | None]:
    is_embedded = settings.model == EMBEDDED and info.model == str(weights_folder())
    return {
        "name": EMBEDDED if is_embedded else info.model,
        "revision": info.revision,
        "dtype": info.dtype,
        "quantization": info.quantization,
        "device": info.device,
    }
