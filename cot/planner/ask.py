"""Asks a question as the settings say.

In: a question, an engine and settings. Out: an `Outcome`.
"""

from collections.abc import Callable
from typing import Final

from cot.engine.base import Engine
from cot.errors import quoted
from cot.model import EMBEDDED
from cot.planner.budget import Budget
from cot.planner.calibration_file import tuning_for
from cot.planner.run import Outcome, run
from cot.planner.wording import Wording, checked_templates
from cot.question import Question
from cot.settings import Settings
from cot.step import Step
from cot.trace.record import Recorder

ONE_IMAGE: Final = (
    "the embedded model has only learned to look at one image at a time; of several its answer is a guess"
)
ENGLISH: Final = "the embedded model has only learned English, and has never seen {letters}: its answer is a guess"

_SHOWN_LETTERS: Final = 20


async def ask(
    question: Question,
    engine: Engine,
    settings: Settings,
    *,
    budget: Budget | None = None,
    recorder: Recorder | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Outcome:
    """Answer a question with the strategy, budget, language and calibration of the settings.

    budget: instead of that of the settings. on_step: called with each step as it is finished.
    Raises UsageError for an unknown strategy, ConfigError for a wrong calibration file,
    PromptError or UsageError for a template that cannot stand in place of another, and TraceError if the trace
    cannot be written.
    """
    tuning, note = tuning_for(settings, engine.info)
    if settings.model == EMBEDDED:
        several = ONE_IMAGE if len(question.images) > 1 else ""
        note = "; ".join(filter(None, (several, _not_english(question), note)))
    wording = Wording(
        settings.language, settings.system, checked_templates(settings.templates, language=settings.language)
    )
    return await run(
        settings.strategy,
        question,
        engine,
        budget or Budget(settings.max_steps, settings.max_tokens, settings.max_seconds),
        seed=settings.seed,
        wording=wording,
        tuning=tuning,
        recorder=recorder,
        on_step=on_step,
        settings=settings.model_dump(mode="json"),
        note=note,
    )


def _not_english(question: Question) -> str:
    """What to say of letters that no English word has, and so none that the embedded model was trained on."""
    asked = "".join((question.text, *question.choices))
    letters = "".join(dict.fromkeys(letter for letter in asked if letter.isalpha() and not letter.isascii()))
    return ENGLISH.format(letters=quoted(letters, most=_SHOWN_LETTERS)) if letters else ""
