"""MMMU: options to choose from, and open questions, which are answered within free text."""

import re
from dataclasses import replace
from typing import Final, Literal

from cot.errors import DataError, quoted
from cot.metric.choice import multiple_choice
from cot.metric.number import mmmu_numbers, numbers
from cot.metric.score import Score, Target, scored, unparsed

_INDICATORS: Final = ("could be", "so", "is", "thus", "therefore", "final", "answer", "result")
_TRIVIAL: Final = frozenset(":,.!?;'")
_INDICATOR_WORD: Final = re.compile(rf"\b(?:{'|'.join(_INDICATORS)})[\s:]+")
_SENTENCE_END: Final = re.compile(r"\.\s(?=[A-Z])|\n")
_TOKEN: Final = re.compile(r"\w+|[^\w\s.,:;!?*'\"]")
_SAYS_NOTHING: Final = frozenset("the my final answer result is".split())
_AROUND_A_LETTER: Final = " ,.:;!?*_`\"'()[]{}$"
_DECIMALS: Final = 2


def mmmu(prediction: str, target: Target, *, variant: Literal["official", "words"] = "official") -> Score:
    """A question with options is scored as `choice` scores it, any other as `mmmu_open` does, here officially.

    Officially an unreadable choice becomes a random one; here it is unparsed. A ground truth of an open question that
    is a list in text, as three of the data set are (`['24/7', '3.429']`), is each of its items.
    """
    if target.choices:
        return multiple_choice(prediction, target)
    truths = tuple(item for answer in target.answers for item in _items(answer))
    return mmmu_open(prediction, replace(target, answers=truths), variant=variant)


def mmmu_open(prediction: str, target: Target, *, variant: Literal["words", "official"] = "words") -> Score:
    """1 if a text contains a ground truth where its answer stands, else 0. Numbers are compared with two decimals.

    The answer stands behind words such as "is", "thus" or "answer", in each sentence; the whole text, if none has one.
    variant: `words` is ours: a ground truth is contained as whole words ("cat" is not in "catalogue"), one of a single
    letter must be all that is said, one that is a number must be among the numbers ("3-5" has no -5).
    `official` finds what eval_open and parse_open_response find (MMMU-Benchmark/MMMU, eval/eval_utils.py): substrings.
    A text without any letter, digit or sign is unparsed. Raises DataError for a ground truth without text.
    """
    if not all(truth.strip() for truth in target.answers):
        raise DataError("got a ground truth without text; expected something to compare with")
    if not prediction.strip():
        return unparsed("the prediction has no text")
    if variant == "official":
        found = parse_open_official(prediction)
        met = any(_contains_officially(found, truth) for truth in target.answers)
        shown = " | ".join(sorted(item if isinstance(item, str) else f"{item:g}" for item in found))
    else:
        tails = answer_tails(prediction)
        met = any(_says(tails, truth) for truth in target.answers)
        shown = " | ".join(tails)
    return scored(float(met), shown, f"{quoted(shown)} contains {'a' if met else 'no'} ground truth")


def answer_tails(response: str) -> list[str]:
    """Where the answer stands, by our rule: of each sentence the shortest tail behind an indicator, lowercased.

    Indicators are whole words, and "=" in the last sentence. A tail that says nothing does not count.
    """
    parts = _SENTENCE_END.split(response.strip().strip("."))
    tails = []
    for place, part in enumerate(parts):
        low = _collapsed(part)
        starts = [found.end() for found in _INDICATOR_WORD.finditer(low)]
        if place == len(parts) - 1 and "=" in low:
            starts.append(low.rindex("=") + 1)
        # So that "50% is the final answer" counts as a whole: what stands behind its "is" says nothing.
        telling = max((found.start() for found in _TOKEN.finditer(low) if found[0] not in _SAYS_NOTHING), default=-1)
        if (start := max((start for start in starts if start <= telling), default=None)) is not None:
            tails.append(low[start:].strip())
    return tails or [_collapsed(response)]


def _items(truth: str) -> list[str]:
    """One of the published lists lacks a quotation mark, so that it is no Python."""
    if not (truth.startswith(("['", '["')) and truth.endswith("]")):
        return [truth]
    return [item.strip(" '\"") for item in truth[1:-1].split(",")]


def _says(tails: list[str], truth: str) -> bool:
    if (number := _as_number(truth)) is not None:
        return any(round(value, _DECIMALS) == number for tail in tails for value in numbers(tail))
    wanted = _collapsed(truth)
    if len(wanted) == 1:
        return any(wanted in (tail, tail.strip(_AROUND_A_LETTER).removeprefix("the ")) for tail in tails)
    before = r"(?<!\w)" if wanted[0].isalnum() else ""
    after = r"(?!\w)" if wanted[-1].isalnum() else ""
    whole = re.compile(before + re.escape(wanted) + after)
    return any(whole.search(tail) for tail in tails)


def parse_open_official(response: str) -> set[str | float]:
    """What MMMU's official parse_open_response finds: texts, lowercased, and numbers, rounded to two decimals."""
    tails = _official_tails(response)
    found = [*tails, *(number for tail in tails for number in mmmu_numbers(tail))]
    return {item for text in found for item in _official_forms(text)}


def _official_tails(response: str) -> list[str]:
    # Lowercased before it is split: so only newlines split.
    whole = response.strip().strip(".").lower()
    parts = whole.split("\n")
    words = [f"{word} " for word in _INDICATORS]
    tails = []
    for place, part in enumerate(parts):
        marks = [*words, "="] if place == len(parts) - 1 else words
        ends = [part.rpartition(mark)[2].strip() for mark in marks if mark in part]
        # As officially: an empty tail gives way to the next one, whatever its length.
        shortest = ""
        for end in ends:
            if not shortest or len(end) < len(shortest):
                shortest = end
        if shortest and shortest not in _TRIVIAL:
            tails.append(shortest)
    return tails or [whole]


def _contains_officially(found: set[str | float], truth: str) -> bool:
    for wanted in _official_forms(truth):
        if wanted in found or (isinstance(wanted, str) and any(isinstance(f, str) and wanted in f for f in found)):
            return True
    return False


def _official_forms(text: str) -> list[str | float]:
    text = text.strip()
    if (number := _as_number(text)) is not None:
        return [number]
    low = text.lower()
    return [f" {low}", f"{low} "] if len(low) == 1 else [low]


def _as_number(text: str) -> float | None:
    try:
        return round(float(text.replace(",", "")), _DECIMALS)
    except ValueError:
        return None


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())
