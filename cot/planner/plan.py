"""Plans: typed sub-questions, and how their answers combine.

In: a model's text. Out: a `Plan`, or a PlanError that says what is wrong with it. The format:

    1. [count] How many apples are there?
    2. [count] How many cars are there?
    answer: #1 > #2

`PLAN_PATTERN` is the format's only definition: engines are held to it, and `parse_plan` accepts what
it accepts. A sub-question refers to earlier ones only, so no plan has a cycle. It asks no model.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cot.answer import INVISIBLE, SPACES
from cot.errors import PlanError
from cot.expression import (
    MAX_REFERENCES,
    Comparison,
    Expression,
    Extreme,
    Logic,
    Ref,
    Sum,
    evaluate,
    expression_pattern,
    of_the_same,
    parse_expression,
    supports,
    takes_away_itself,
)
from cot.step import SubQuestion, Value, Wants

MAX_SUB_QUESTIONS: Final = MAX_REFERENCES
MAX_SUB_QUESTION_CHARACTERS: Final = 120
KINDS: Final[dict[str, Wants]] = {
    "count": "count", "yes_no": "yes_no", "number": "number", "phrase": "phrase", "text": "text",
}  # fmt: skip
"""Kinds of answers that a plan can ask for."""

_RUN_ON: Final = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")
"""What begins a line of a plan, and has no place within a sub-question."""

_ANSWERS: Final[dict[Wants, Value]] = {
    "count": 1, "yes_no": True, "number": 1, "phrase": "a phrase", "text": "a text",
}  # fmt: skip
"""An answer of each kind."""

DECIDE: Final = "decide"
"""Says in place of an expression that the model decides."""

NOT_VALID: Final = "the plan is not valid"
"""Why there are no steps, where the model gave no plan."""

ONE_FACT: Final = "the plan asks for one fact only"
NO_FACTS: Final = "the plan asks for no facts of their own"
LEFT_TO_MODEL: Final = "the plan leaves the answer to the model"
NOT_FOLLOWED: Final = (ONE_FACT, NO_FACTS, LEFT_TO_MODEL)
"""Why there are none, where a valid plan is of no use to `route` or `verify`."""

OPEN: Final = "the plan asks for a description, which parts do not make better"
"""Why there are none, where the plan is open."""


@dataclass(frozen=True)
class Plan:
    """Sub-questions, numbered from 1 without gaps, and the expression that answers the whole question.

    expression: None if the model is to decide from what the sub-questions found. confidence: probability that the
    model gave to it, in [0, 1]; 0 from an engine without probabilities.
    """

    sub_questions: tuple[SubQuestion, ...]
    expression: Expression | None
    confidence: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        lines = [f"{question.id}. [{question.wants}] {question.text}" for question in self.sub_questions]
        return "\n".join([*lines, f"answer: {self.expression or DECIDE}"])

    @property
    def supports(self) -> tuple[int, ...]:
        """Ids of the sub-answers that the answer rests on; all of them if the model decides."""
        return supports(self.expression) if self.expression else tuple(q.id for q in self.sub_questions)

    @property
    def needs_several_facts(self) -> bool:
        """Whether it does more than to ask one question again: `#1` alone over one sub-question does not."""
        return len(self.sub_questions) > 1 or self.expression not in (None, Sum(((1, Ref(1)),)))

    @property
    def is_open(self) -> bool:
        """Whether all it asks for is free text, as for a description, which no parts make better."""
        return len(self.sub_questions) == 1 and self.sub_questions[0].wants == "text"

    def check_distinct(self) -> None:
        """Raise PlanError if it asks the same twice, or two things in one line, compares an answer with itself, or has
        one name for two things. No pattern can tell, so a model held to the format may do it."""
        seen: dict[str, int] = {}
        for question in self.sub_questions:
            if _RUN_ON.search(question.text):
                raise PlanError(f"line {question.id} runs into another one")
            first = seen.setdefault(same_words(question.text), question.id)
            if first != question.id:
                raise PlanError(f"it asks the same in lines {first} and {question.id}")
        match self.expression:
            case Comparison(left=left, right=right):
                twice = of_the_same(left, right) or takes_away_itself(left) or takes_away_itself(right)
            case Extreme(entries=entries):
                if len({label.casefold() for label, _ in entries}) < len(entries):
                    raise PlanError("it calls two things by one name")
                twice = len({ref for _, ref in entries}) < len(entries)
            case Logic(operands=operands):
                twice = len({ref for _, ref in operands}) < len(operands)
            case Sum() as total:
                twice = takes_away_itself(total)
            case None:
                twice = False
        if twice:
            raise PlanError("it compares an answer with itself")

    def check_computable(self) -> None:
        """Raise PlanError if its expression cannot be computed from answers of its kinds, whatever these are: sentences
        about two things differ even where they say the same of both."""
        if self.expression is None:
            return
        used = [question for question in self.sub_questions if question.id in self.supports]
        if isinstance(self.expression, Comparison) and any(question.wants == "text" for question in used):
            raise PlanError("it compares sentences")
        try:
            evaluate(self.expression, {question.id: _ANSWERS[question.wants] for question in self.sub_questions})
        except PlanError as error:
            kinds = ", ".join(f"#{question.id} [{question.wants}]" for question in used)
            raise PlanError(f"it computes {self.expression} from answers of kinds that do not fit: {kinds}") from error


def same_words(text: str) -> str:
    """A sub-question as it is compared with others: blanks and case are no difference."""
    return " ".join(text.casefold().split())


def grounds(supports: Iterable[int], sub_questions: Iterable[SubQuestion]) -> tuple[int, ...]:
    """Ids of the sub-answers that an answer rests on, and of those that were filled into their sub-questions."""
    found = set(supports)
    for question in sorted(sub_questions, key=lambda question: -question.id):  # they refer back only
        if question.id in found:
            found.update(question.depends_on)
    return tuple(sorted(found))


def _text_pattern(number: int) -> str:
    # A reference must not be followed by a digit, and a regex has no look-ahead: what follows it is spelled out.
    # The counts of each alternative add up to MAX_SUB_QUESTION_CHARACTERS.
    first, other = f"[^{INVISIBLE}{SPACES}#]", f"[^{INVISIBLE}#]"
    plain = f"{first}{other}{{0,119}}"
    if number == 1:
        return plain
    ref = "#1" if number == 2 else f"#[1-{number - 1}]"
    after = f"[^{INVISIBLE}#0-9]"
    one = f"(?:{first}{other}{{0,69}})?{ref}(?:{after}{other}{{0,47}})?"
    two = f"(?:{first}{other}{{0,49}})?{ref}(?:{after}{other}{{0,30}})?{ref}(?:{after}{other}{{0,34}})?"
    return f"(?:{plain}|{one}|{two})"


def _plan_pattern() -> str:
    pattern = ""
    for number in range(MAX_SUB_QUESTIONS, 0, -1):
        answer = f"answer: (?:{DECIDE}|{expression_pattern(number)})"
        rest = f"(?:{answer}|{pattern})" if pattern else answer
        pattern = rf"{number}\. \[(?:{'|'.join(KINDS)})\] {_text_pattern(number)}\n{rest}"
    return pattern


PLAN_PATTERN: Final = _plan_pattern()
"""Regex of all valid plans, for Python's `re` and for Rust's `regex` alike."""


def reworded_pattern(missing: Sequence[SubQuestion]) -> str:
    """Regex of one line for each of these sub-questions: its number and kind as they are, its text anew."""
    return r"\n".join(rf"{q.id}\. \[{q.wants}\] {_text_pattern(q.id)}" for q in missing)


_COMPILED: Final = re.compile(PLAN_PATTERN)
_LINE: Final = re.compile(r"([0-9])\. \[([a-z_]+)\] (.+)")
_REFERENCE: Final = re.compile(r"#([0-9]+)")


def parse_plan(text: str) -> Plan:
    """Read a plan. Raises PlanError with the first line that is wrong, and what was expected there."""
    if not _COMPILED.fullmatch(text):
        raise PlanError(_what_is_wrong(text))
    *lines, last = text.split("\n")
    questions = tuple(_sub_question(line) for line in lines)
    combined = last.removeprefix("answer: ")
    expression = None if combined == DECIDE else parse_expression(combined, references=len(questions))
    return Plan(questions, expression)


def parse_reworded(text: str, missing: Sequence[SubQuestion]) -> tuple[SubQuestion, ...]:
    """Read what `reworded_pattern` allows. Raises PlanError with what was expected."""
    if not re.fullmatch(reworded_pattern(missing), text):
        kept = ", ".join(f"'{q.id}. [{q.wants}] …'" for q in missing)
        raise PlanError(f"got {text[:80]!r}; expected one line for each of {kept}")
    return tuple(_sub_question(line) for line in text.split("\n"))


def levels(plan: Plan) -> tuple[tuple[SubQuestion, ...], ...]:
    """Sub-questions in rounds: those of one round depend on earlier rounds only, and can be asked together."""
    depth: dict[int, int] = {}
    for question in plan.sub_questions:
        depth[question.id] = 1 + max((depth[number] for number in question.depends_on), default=-1)
    rounds = range(max(depth.values()) + 1)
    return tuple(tuple(q for q in plan.sub_questions if depth[q.id] == level) for level in rounds)


def fill_in(text: str, shown: dict[int, str]) -> str:
    """Put answers in place of references: `What colour is #1?` with {1: "the car"}."""
    return _REFERENCE.sub(lambda found: shown.get(int(found[1]), found[0]), text)


def _sub_question(line: str) -> SubQuestion:
    found = _LINE.fullmatch(line)
    if found is None:
        raise PlanError(f"got the line {line[:80]!r}; expected for example '1. [count] How many dogs are there?'")
    text = found[3].strip()
    depends_on = tuple(sorted({int(number) for number in _REFERENCE.findall(text)}))
    return SubQuestion(id=int(found[1]), text=text, wants=KINDS[found[2]], depends_on=depends_on)


def _what_is_wrong(text: str) -> str:
    *lines, last = text.split("\n")
    if not last.startswith("answer: "):
        return f"got the last line {last[:80]!r}; expected 'answer: ' and an expression or 'decide'"
    if not 1 <= len(lines) <= MAX_SUB_QUESTIONS:
        return f"got {len(lines)} sub-questions; expected 1 to {MAX_SUB_QUESTIONS}"
    for number, line in enumerate(lines, 1):
        if problem := _line_problem(number, line):
            return f"line {number}: {problem}"
    combined = last.removeprefix("answer: ")
    try:
        parse_expression(combined, references=len(lines))
    except PlanError as error:
        return str(error)
    return "the text is not a plan"


def _line_problem(number: int, line: str) -> str | None:
    found = _LINE.fullmatch(line)
    if not found or found[1] != str(number):
        return f"got {line[:80]!r}; expected '{number}. [kind] sub-question'"
    if found[2] not in KINDS:
        return f"got the kind {found[2]!r}; expected one of {', '.join(KINDS)}"
    if wrong := [ref for ref in _REFERENCE.findall(found[3]) if not 0 < int(ref) < number]:
        return f"got a reference to #{wrong[0]}; expected an earlier sub-question"
    if not re.fullmatch(_text_pattern(number), found[3]):
        return (
            f"got {found[3][:80]!r}; expected printable text of at most {MAX_SUB_QUESTION_CHARACTERS}"
            " characters with at most two references"
        )
    return None
