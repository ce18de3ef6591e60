"""One sample through one strategy: its images are opened, the question is asked, the answer is scored.

In: a sample. Out: a `SampleResult`, whatever goes wrong with the sample; only a trace that cannot be written, and
being cancelled, are raised.
"""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from cot.errors import CotError, TraceError, reason
from cot.evaluate.ablation import PLANNING, Ablation
from cot.evaluate.health import WatchedEngine
from cot.evaluate.images import Images
from cot.evaluate.judge import Judge, Judged, JudgedRecorder
from cot.evaluate.result import SampleResult
from cot.evaluate.shots import Shots
from cot.evaluate.steps import score_steps
from cot.image import DEFAULT_LIMITS, ImageLimits, LoadedImage
from cot.metric import Metric, Score, errored, reads_replies, unparsed
from cot.planner.asked import storable
from cot.planner.budget import Budget
from cot.planner.facts import EXCHANGED
from cot.planner.run import Outcome, run
from cot.planner.tuning import Tuning
from cot.planner.wording import Wording
from cot.question import Example, Question
from cot.task import Sample
from cot.trace.plain import UNKNOWN
from cot.trace.record import Recorder
from cot.trace.redact import SAMPLE, What


@dataclass(frozen=True)
class Asking:
    """How samples are asked. traces: folder for them, None for no traces. redact: what these are kept without."""

    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    language: str = "en"
    tuning: Tuning | None = None
    ablation: Ablation | None = None
    traces: Path | None = None
    image_limits: ImageLimits = DEFAULT_LIMITS
    redact: frozenset[What] = frozenset()


async def ask_sample(
    task: str,
    metric: Metric | Judge,
    sample: Sample,
    strategy: str,
    engine: WatchedEngine,
    asking: Asking,
    images: Images,
    shots: Shots | None = None,
) -> SampleResult:
    """Ask and score one sample. metric: what scores it; a judge is asked. shots: its examples. Raises TraceError."""
    outcome, trace, judged = None, None, None
    keeps = JudgedRecorder if isinstance(metric, Judge) else Recorder
    recorder = keeps(asking.traces, redact=asking.redact) if asking.traces else None
    try:
        # In a thread: a download or a large picture must not hold up the questions in flight.
        loaded = [await asyncio.to_thread(images, source) for source in sample.images]
        examples, note = await asyncio.to_thread(_examples, shots, sample, loaded, asking) if shots else ((), "")
        question = Question(sample.question, tuple(loaded), sample.target.choices, examples=examples)
        outcome = await _ask(question, strategy, engine, asking, recorder, {"task": task, SAMPLE: sample.id}, note)
        if isinstance(metric, Judge):
            said = silent(outcome, engine) or _said(outcome, sample)
            if isinstance(said, Score):
                score = said
            else:
                score, judged = await metric(question, sample.target.answers, said, recorder)
                score = dataclasses.replace(score, answer=storable(said))
        else:
            score = silent(outcome, engine) or score_outcome(outcome, metric, sample)
        if shots and score.status == "errored":
            score = errored(f"{score.explanation} (asked with --shots {shots.n})")
    except TraceError:
        raise
    except CotError as error:
        score = errored(str(error))
    except Exception as error:
        # A fault of the program itself. It is told, and costs one sample instead of the run.
        score = errored(f"{type(error).__name__}: {reason(error)}")
    finally:
        if recorder:
            recorder.close()
    # One that nothing was recorded in has left no folder.
    if recorder and recorder.folder.exists():
        trace = f"{recorder.folder.parent.name}/{recorder.folder.name}"
    try:
        return _result(task, sample, strategy, score, outcome, trace, judged)
    except Exception as error:
        # Numbers of a server that no result may hold.
        score = errored(f"what came back is no result: {reason(error)}")
        return _result(task, sample, strategy, score, None, trace, None)


def score_outcome(outcome: Outcome, metric: Metric, sample: Sample) -> Score:
    """Errored if asking failed, unparsed if there is no answer in the reply, else what the metric says of its text.

    What is none of the choices as it stands is left to a metric that finds them in free text. "unknown" is an answer
    where a ground truth says so too.
    """
    if outcome.stop_reason == "unparsed" and outcome.answer.raw and reads_replies(metric):
        return metric(outcome.answer.raw, sample.target)
    said = _said(outcome, sample)
    return said if isinstance(said, Score) else metric(said, sample.target)


def silent(outcome: Outcome, engine: WatchedEngine) -> Score | None:
    """Errored if the time ran out on an engine from which nothing came back; else None."""
    if engine.went_silent and outcome.stop_reason == "budget_seconds":
        return errored(f"nothing came back from the model: {outcome.notes[-1]}")
    return None


def _said(outcome: Outcome, sample: Sample) -> str | Score:
    """The answer, or what becomes of a sample that has none."""
    abstained = outcome.stop_reason == "answered" and outcome.answer.value is None
    if abstained and UNKNOWN in map(str.casefold, sample.target.answers):
        return UNKNOWN
    return _without_answer(outcome) or outcome.answer.text


def _without_answer(outcome: Outcome) -> Score | None:
    if outcome.stop_reason in ("error", "cancelled"):
        return errored(outcome.notes[-1] if outcome.notes else outcome.stop_reason)
    if outcome.answer.value is None:
        stopped = outcome.stop_reason != "answered" and outcome.notes
        why = outcome.notes[-1] if stopped else "the model says that it does not know"
        return unparsed(f"no answer ({outcome.stop_reason}): {why}")
    return None


async def _ask(
    question: Question,
    strategy: str,
    engine: WatchedEngine,
    asking: Asking,
    recorder: Recorder | None,
    settings: dict[str, str],
    note: str,
) -> Outcome:
    return await run(
        strategy,
        question,
        engine,
        asking.budget,
        seed=asking.seed,
        wording=Wording(asking.language),
        tuning=asking.tuning,
        recorder=recorder,
        settings=settings | ({"ablation": asking.ablation} if asking.ablation else {}),
        note=note,
        exchange_answers=asking.ablation == EXCHANGED,
    )


def _examples(
    shots: Shots, sample: Sample, loaded: list[LoadedImage], asking: Asking
) -> tuple[tuple[Example, ...], str]:
    """Those of a sample, and a note. They are whole under an ablation too, and none may show what it takes away."""
    own = [shots.images(source) for source in sample.images] if asking.ablation else loaded
    return shots.before(sample, own)


def _result(
    task: str,
    sample: Sample,
    strategy: str,
    score: Score,
    outcome: Outcome | None,
    trace: str | None,
    judged: Judged | None,
) -> SampleResult:
    answer = outcome.answer if outcome else None
    return SampleResult(
        task=task,
        id=sample.id,
        group=sample.group,
        category=sample.category,
        strategy=strategy,
        question=sample.question,
        choices=sample.target.choices,
        answer=score.answer or (storable(answer.text) if answer and answer.value is not None else None),
        raw=storable(answer.raw) if answer else "",
        targets=sample.target.answers,
        in_groups=dict(sample.in_groups),
        score=score.value,
        status=score.status,
        explanation=storable(score.explanation),
        confidence=answer.confidence if answer else 0.0,
        stop_reason=outcome.stop_reason if outcome else "error",
        judge=judged,
        steps=score_steps(outcome, sample.facts, sample.target.choices) if outcome and strategy in PLANNING else None,
        notes=tuple(storable(note) for note in outcome.notes) if outcome else (),
        usage=dataclasses.asdict(outcome.usage) if outcome else {},
        seconds=round(outcome.seconds, 6) if outcome else 0.0,
        trace=trace,
    )
