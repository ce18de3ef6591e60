"""How sub-answers combine: expressions such as `#1 > #2`, parsed, typed and computed.

In: one line of text, and the sub-answers' values. Out: a syntax tree, and its value. The language is
regular and every length is bounded, so that `expression_pattern` can hold a model to it exactly.
It never runs text as code.

    #1 + #2 - 3        abs(#1 - #2)          sums of references and whole numbers up to 9999
    #1 > #2            #1 + #2 = 5           comparison: > < = >= <=; = also compares words
    #1 and not #2      #1 or #2    not #1    logic over yes and no
    most(apples: #1, cars: #2)   fewest(…)   the label with the largest or smallest count
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from cot.answer import INVISIBLE, SPACES, UNKNOWN, comparable, show_value
from cot.errors import PlanError
from cot.step import Value

MAX_REFERENCES: Final = 6
"""Sub-answers that an expression can refer to: #1 to #6."""

Number = int | float
_COMPARE: Final[dict[str, Callable[[Number, Number], bool]]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Ref:
    """The answer to sub-question `id`."""

    id: int

    def __str__(self) -> str:
        return f"#{self.id}"


@dataclass(frozen=True)
class Integer:
    """A whole number from 0 to 9999."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Sum:
    """Terms that are added (+1) or subtracted (-1); the first sign is +1, and a reference is among the first two."""

    terms: tuple[tuple[Literal[1, -1], "Ref | Integer | Absolute"], ...]

    def __str__(self) -> str:
        rest = "".join(f" {'+' if sign > 0 else '-'} {term}" for sign, term in self.terms[1:])
        return f"{self.terms[0][1]}{rest}"


@dataclass(frozen=True)
class Absolute:
    """The sum without its sign; it holds no `Absolute` itself."""

    sum: Sum

    def __str__(self) -> str:
        return f"abs({self.sum})"


@dataclass(frozen=True)
class Comparison:
    """Two sums compared, or two words or truth values if the operator is `=`."""

    left: Sum
    operator: Literal[">", "<", "=", ">=", "<="]
    right: Sum

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True)
class Logic:
    """References joined by `and` or by `or`, each of them maybe negated; a single one is always negated."""

    operator: Literal["and", "or"]
    operands: tuple[tuple[bool, Ref], ...]
    """(negated, reference)."""

    def __str__(self) -> str:
        return f" {self.operator} ".join(f"{'not ' * negated}{ref}" for negated, ref in self.operands)


@dataclass(frozen=True)
class Extreme:
    """The label of the largest (`most`) or smallest (`fewest`) number; tied labels are joined by "and"."""

    which: Literal["most", "fewest"]
    entries: tuple[tuple[str, Ref], ...]

    def __str__(self) -> str:
        return f"{self.which}({', '.join(f'{label}: {ref}' for label, ref in self.entries)})"


Expression = Sum | Comparison | Logic | Extreme
"""What a plan's last line can say; a bare `#1` is a sum of one term."""


@cache
def expression_pattern(references: int) -> str:
    """A regex of all expressions over #1 to #`references`, 1 to 6, for Python's `re` and Rust's `regex` alike."""
    ref = "#1" if references == 1 else f"#[1-{references}]"
    number = "(?:0|[1-9][0-9]{0,3})"
    plain = f"(?:{number} [+-] )?{ref}(?: [+-] (?:{ref}|{number})){{0,4}}"
    atom = rf"(?:{ref}|abs\({plain}\))"
    total = f"(?:{number} [+-] )?{atom}(?: [+-] (?:{atom}|{number})){{0,4}}"
    compare = f"{total}(?: (?:[<>]=?|=) (?:{total}|{number}))?"
    literal = f"(?:not )?{ref}"
    logic = f"{literal}(?:(?: and {literal}){{1,5}}|(?: or {literal}){{1,5}})|not {ref}"
    edge, inside = f"[^{INVISIBLE}{SPACES},:()#]", f"[^{INVISIBLE},:()#]"
    entry = f"{edge}(?:{inside}{{0,28}}{edge})?: {ref}"
    extreme = rf"(?:most|fewest)\({entry}(?:, {entry}){{1,5}}\)"
    return f"(?:{compare}|{logic}|{extreme})"


def parse_expression(text: str, *, references: int = MAX_REFERENCES) -> Expression:
    """Read an expression over #1 to #`references`. Raises PlanError if it is anything else."""
    if not re.fullmatch(expression_pattern(references), text):
        raise PlanError(
            f"got the expression {text[:80]!r}; expected for example '#1 > #2', '#1 + #2', '#1 and #2'"
            f" or 'most(cats: #1, dogs: #2)' over #1 to #{references}"
        )
    if named := re.fullmatch(r"(most|fewest)\((.*)\)", text):
        pairs = (entry.rsplit(": ", 1) for entry in named[2].split(", "))
        entries = tuple((label, _ref(ref)) for label, ref in pairs)
        return Extreme("most" if named[1] == "most" else "fewest", entries)
    if text.startswith("not ") or " and " in text or " or " in text:
        joint: Literal["and", "or"] = "or" if " or " in text else "and"
        words = text.split(f" {joint} ")
        return Logic(joint, tuple((word.startswith("not "), _ref(word.removeprefix("not "))) for word in words))
    for symbol in (">", "<", "=", ">=", "<="):
        left, found, right = text.partition(f" {symbol} ")
        if found:
            return Comparison(_sum(left), symbol, _sum(right))
    return _sum(text)


def supports(expression: Expression) -> tuple[int, ...]:
    """Ids of the sub-answers that it uses, ascending, each once."""
    found = re.findall(r"#([0-9])", str(expression))
    return tuple(sorted({int(number) for number in found}))


def takes_away_itself(total: Sum) -> bool:
    """Whether a sum adds and takes away one reference, as `#1 - #1` does, so that it says nothing of it."""
    signed = [(sign, term) for sign, term in total.terms if not isinstance(term, Integer)]
    inner = (term.sum for _, term in total.terms if isinstance(term, Absolute))
    return any((-sign, term) in signed for sign, term in signed) or any(map(takes_away_itself, inner))


def of_the_same(left: Sum, right: Sum) -> bool:
    """Whether two sums differ in numbers only, so that comparing them, as `#1 >= #1 + 2` does, says nothing of #1."""
    one, other = ([term for term in total.terms if not isinstance(term[1], Integer)] for total in (left, right))
    return sorted(map(repr, one)) == sorted(map(repr, other))


def evaluate(expression: Expression, answers: Mapping[int, Value]) -> Value:
    """Compute the value from the sub-answers by id. Raises PlanError if one is unknown or of the wrong type."""
    for number in supports(expression):
        if answers.get(number) is None:
            raise PlanError(f"#{number} is {UNKNOWN}, so {expression} cannot be computed")
    match expression:
        case Sum(terms=((_, Ref(id=number)),)):
            return answers[number]
        case Sum():
            return _total(expression, answers)
        case Comparison():
            return _compare(expression, answers)
        case Logic():
            values = [_truth(ref, answers) != negated for negated, ref in expression.operands]
            return all(values) if expression.operator == "and" else any(values)
        case Extreme():
            counts = [_number(ref, answers) for _, ref in expression.entries]
            best = max(counts) if expression.which == "most" else min(counts)
            tied = [label for (label, _), count in zip(expression.entries, counts, strict=True) if count == best]
            return " and ".join(dict.fromkeys(tied))


def _ref(text: str) -> Ref:
    return Ref(int(text[1:]))


def _sum(text: str) -> Sum:
    pieces = re.split(r" ([+-]) (?![^(]*\))", text)
    signs = ("+", *pieces[1::2])
    return Sum(tuple((1 if sign == "+" else -1, _term(term)) for sign, term in zip(signs, pieces[::2], strict=True)))


def _term(text: str) -> Ref | Integer | Absolute:
    if text.startswith("abs("):
        return Absolute(_sum(text[4:-1]))
    return _ref(text) if text.startswith("#") else Integer(int(text))


def _compare(comparison: Comparison, answers: Mapping[int, Value]) -> bool:
    if comparison.operator == "=":
        match comparison.left.terms, comparison.right.terms:
            case ((_, Ref(id=left)),), ((_, Ref(id=right)),):
                first, second = answers[left], answers[right]
                if isinstance(first, str) and isinstance(second, str):
                    return comparable(first) == comparable(second)
                if isinstance(first, bool) and isinstance(second, bool):
                    return first == second
    return _COMPARE[comparison.operator](_total(comparison.left, answers), _total(comparison.right, answers))


def _total(total: Sum, answers: Mapping[int, Value]) -> Number:
    value = sum(sign * _number(term, answers) for sign, term in total.terms)
    return round(value, 9) if isinstance(value, float) else value


def _number(term: Ref | Integer | Absolute, answers: Mapping[int, Value]) -> Number:
    match term:
        case Integer():
            return term.value
        case Absolute():
            return abs(_total(term.sum, answers))
        case Ref():
            value = answers[term.id]
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise PlanError(f"{term} is {show_value(value)!r}; expected a number")
            return value


def _truth(ref: Ref, answers: Mapping[int, Value]) -> bool:
    value = answers[ref.id]
    if not isinstance(value, bool):
        raise PlanError(f"{ref} is {show_value(value)!r}; expected yes or no")
    return value
