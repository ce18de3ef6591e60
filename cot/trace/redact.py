"""Leaves out of events what is not to be kept, or not to be passed on.

In: the events of a run in their order, and what to leave out. Out: events of the same shape: kinds of steps, hashes of
templates, probabilities, token counts and times stay. It knows no file: `cot.trace.record` writes what it gives, and
`Trace.redacted` is made of it.

What counts as prompt is all that was sent, sub-questions too, and whatever could repeat it: what the model said in
words, summaries, and messages, since these quote. What stays beside it is the model's own: numbers that nobody wrote
into the question, yes, no and unknown. What is said of an image is no part of the image.
"""

import json
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Any, Final, Literal, get_args

from cot.errors import UsageError, quoted
from cot.step import FinalAnswer, Reasoning, Step, SubAnswer, SubQuestion, Summary, ToolUse, Value
from cot.trace.event import Call, Event, Note, RunFinished, RunStarted, StepTaken
from cot.trace.numerals import in_digits
from cot.trace.plain import UNKNOWN, show_value

What = Literal["prompts", "images", "all"]
"""`prompts`: what was asked, and words that may repeat it. `images`: pixels, where they came from, their hashes and
notes. `all`: both, and what was answered."""

WHATS: Final[tuple[What, ...]] = get_args(What)

NOTHING: Final = "none"
"""The setting that leaves nothing out."""

REDACTED: Final = "[redacted]"
"""What stands in place of text and values."""

SETTING: Final = "redact"
"""Of a trace's settings the one that says what was left out."""

SAMPLE: Final = "sample"
"""Of a trace's settings the id of the evaluation's sample."""

_PRIVATE_SETTINGS: Final = ("trace_dir", "calibration")
_SAID_SETTINGS: Final = ("system", "earlier", "examples")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_SHOWN_IMAGE: Final = re.compile(r"\[image [0-9a-f]{8}\]")
"""How a prompt shows an image of an example, by the beginning of its hash."""

_TYPED: Final = re.compile(r"[0-9\s.,:#+*/<>=!%()\[\]-]*|yes|no|" + UNKNOWN)
"""Text that no prompt can be read from: numbers, regions, formulas over answers, and words of this program."""

_WORD: Final = re.compile(r"[^\W_]+")

_NUMBER: Final = re.compile("[0-9]+")
_STRETCH: Final = re.compile(r"[0-9][\W\d_]*")
"""Digits, and what may stand within a number: of a telephone, an account, a date."""
_MOST_JOINED: Final = 16
"""Runs of digits that are taken for one number at most."""
_SUB_ANSWER: Final = re.compile("#[0-9]+")
"""How a formula names a sub-answer."""


def whats(text: str) -> frozenset[What]:
    """What `prompts,images` says is to be left out; nothing for `none`. Raises UsageError."""
    words = [] if text == NOTHING else text.split(",")
    if wrong := [word for word in words if word not in WHATS]:
        known = ", ".join(map(repr, WHATS))
        raise UsageError(f"--redact: got {wrong[0][:60]!r}; expected {known}, or several: 'prompts,images'")
    return frozenset(what for what in WHATS if what in words)


def left_out(started: RunStarted | None) -> frozenset[What]:
    """What a trace says that it was recorded without."""
    said = str(started.settings.get(SETTING, "")).split(",") if started else []
    return frozenset(what for what in WHATS if what in said)


def in_words(what: frozenset[What]) -> str:
    """What was left out, for people."""
    return "prompts, images and answers" if "all" in what else " and ".join(one for one in WHATS if one in what)


class Redaction:
    """Takes the events of one run, one after the other, and gives each without what is to be left out."""

    def __init__(self, what: frozenset[What]) -> None:
        self._what = what
        self._all = "all" in what
        self._prompts = self._all or "prompts" in what
        self._images = self._all or "images" in what
        self._names: tuple[str, ...] = ()
        """What messages and tools call the images."""
        self._asked = ""
        """What the user wrote, as one text."""
        self._asked_numbers: set[str] = set()
        """The numbers in it."""

    def __call__(self, event: Event) -> Event:
        """The event without it; the same event if there is nothing to leave out."""
        if not self._what:
            return event
        match event:
            case RunStarted():
                return self._started(event)
            case Call():
                return self._call(event)
            case StepTaken():
                return event.model_copy(update={"step": self._step(event.step)})
            case Note():
                return event.model_copy(update={"text": self._message(event.text)})
            case RunFinished() if event.answer is not None:
                return event.model_copy(update={"answer": self._step(event.answer)})
        return event

    def _started(self, event: RunStarted) -> RunStarted:
        names = {text for image in event.images for text in (image.source, image.sha256)}
        names |= {PurePosixPath(image.source).name for image in event.images}
        # Messages quote a text as Python writes it, and only its beginning where it is long.
        names |= {quoted(name)[1:-1].removesuffix("…") for name in names}
        self._names = tuple(name for name in names if len(name) > 1)
        said = (_unescaped(str(event.settings.get(name, ""))) for name in _SAID_SETTINGS)
        self._asked = "\n".join((event.question, *event.choices, *said))
        self._asked_numbers = _numbers(self._asked).union(*map(_numbers, in_digits(self._asked)))
        settings = {name: value for name, value in event.settings.items() if name not in _PRIVATE_SETTINGS}
        hidden = _SAID_SETTINGS if self._prompts else ("examples",)
        settings |= {name: REDACTED for name in hidden if settings.get(name)}
        what = self._what | left_out(event)
        # The id of an evaluation's sample may be made of parts of its image's path, or of the question.
        paths = " ".join(image.source for image in event.images)
        told = " ".join((self._prompts * self._asked, self._images * paths))
        if _words(str(settings.get(SAMPLE, ""))) & _words(told):
            settings[SAMPLE] = REDACTED
        settings[SETTING] = "all" if "all" in what else ",".join(one for one in WHATS if one in what)
        update: dict[str, Any] = {"settings": settings}
        if self._prompts:
            update |= {"question": REDACTED, "choices": (REDACTED,) * len(event.choices)}
        if self._images:
            named = [name for name, value in settings.items() if isinstance(value, str) and self._names_image(value)]
            settings |= dict.fromkeys(named, REDACTED)
            without = {"source": REDACTED, "sha256": "", "notes": (), "original": None}
            update["images"] = tuple(image.model_copy(update=without) for image in event.images)
        return event.model_copy(update=update)

    def _call(self, event: Call) -> Call:
        update: dict[str, Any] = {"problem": event.problem and self._message(event.problem)}
        if self._images:
            update["prompt"] = _SHOWN_IMAGE.sub("[image]", event.prompt)
        if self._prompts:
            constraint = event.constraint and dict.fromkeys(event.constraint, REDACTED)
            if event.constraint and constraint:
                constraint["kind"] = str(event.constraint.get("kind", REDACTED))
            update |= {"prompt": REDACTED, "prompt_sha256": "", "constraint": constraint}
            update |= {"raw": event.raw and self._text(event.raw), "value": self._value(event.value)}
            # Pieces of a text are no safer than the text: they stay only where it does.
            kept = self._may_stay(event.raw or "")
            update["tokens"] = event.tokens if kept else _without_text(event.tokens)
            update["alternatives"] = tuple(
                tuple((self._text(token) if kept else REDACTED, logprob) for token, logprob in others)
                for others in event.alternatives
            )
        return event.model_copy(update=update)

    def _step(self, step: Step) -> Step:
        update: dict[str, Any] = {}
        match step:
            case SubQuestion() | Reasoning() | Summary() if self._prompts:
                update = {"text": REDACTED}
            case SubAnswer():
                update["problem"] = step.problem and self._message(step.problem)
                if self._prompts:
                    update |= {"asked": REDACTED, "raw": self._text(step.raw), "value": self._value(step.value)}
            case ToolUse():
                arguments = {
                    name: self._of_tool(value, formula=name == "expression") for name, value in step.arguments.items()
                }
                update = {"arguments": arguments, "result": self._of_tool(step.result)}
            case FinalAnswer() if self._prompts:
                by_steps = step.source == "steps"
                update = {"text": self._text(step.text), "raw": self._text(step.raw, formula=by_steps)}
                update["value"] = self._value(step.value)
        return step.model_copy(update=update)

    def _message(self, text: str) -> str:
        """A message of the program: it quotes prompts and replies, and names images."""
        hidden = self._prompts or (self._images and self._names_image(text))
        return REDACTED if hidden else text

    def _of_tool(self, value: Value, *, formula: bool = False) -> Value:
        """An argument or a result of a tool, which may be an image: its name, or the hash of one that was made."""
        if isinstance(value, str):
            is_hash = _SHA256.fullmatch(value) is not None and value not in self._asked
            if self._images and (is_hash or self._names_image(value)):
                return REDACTED
            if not self._images and (is_hash or value in self._names):
                return value
        return self._value(value, formula=formula) if self._prompts else value

    def _names_image(self, text: str) -> bool:
        return any(name in text for name in self._names)

    def _value(self, value: Value, *, formula: bool = False) -> Value:
        """A parsed value, unless it is made of words or of what was asked; that there is none is said anyway."""
        if value is None:
            return None
        return value if self._may_stay(show_value(value), formula=formula) else REDACTED

    def _text(self, text: str, *, formula: bool = False) -> str:
        return text if self._may_stay(text, formula=formula) else REDACTED

    def _may_stay(self, text: str, *, formula: bool = False) -> bool:
        """Whether nothing in what was said can come from what was asked, nor is an answer that is to go.

        formula: the text is one, in which `#2` names a sub-answer.
        """
        if self._all or _TYPED.fullmatch(text.strip().lower()) is None:
            return False
        return not _numbers(_SUB_ANSWER.sub("#", text) if formula else text) & self._asked_numbers


def _unescaped(text: str) -> str:
    r"""JSON with its characters as they are: the digits of an escape such as `\u2013` would stand beside others."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _numbers(text: str) -> set[str]:
    """Runs of digits, alone and joined to those behind them, if no letter is between; zeros in front do not count."""
    found = set()
    for stretch in _STRETCH.findall(unicodedata.normalize("NFKC", text)):
        runs = _NUMBER.findall(stretch)
        for first in range(len(runs)):
            found |= {"".join(runs[first:end]).lstrip("0") for end in range(first + 1, first + 1 + _MOST_JOINED)}
    return found


def _without_text(tokens: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    return tuple((REDACTED, logprob) for _, logprob in tokens)
