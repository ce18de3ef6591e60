"""Multiple choice: which option a text chooses. MMMU, ScienceQA, MMStar, AI2D, A-OKVQA, RealWorldQA.

What the official parser of MMMU reads is read as it does; where it would pick an option at random, more ways of
writing an answer are tried, and then it is unparsed.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from string import ascii_uppercase
from typing import Final

from cot.errors import DataError, quoted
from cot.metric.score import Score, Target, scored, unparsed

_STRIPPED: Final = ",.!?;:'"
_FEWEST_TOKENS: Final = 6  # Officially: more than five.

_EDGES: Final = " \t\r\n*_`\"'“”‘’$()[]{}<>（）【】.,;:!?。，；：！？"
_MARK: Final = (
    r"(?:(?i:\banswer)[\"'*_`]{0,3}\s{0,3}(?:\bis\b\s{0,3}[:：]?|[:：=>])"
    r"|答案\s?(?:是|为)?\s?[:：]?|(?i:\b(?:option|choice)\b))"
)
_MARKED: Final = re.compile(
    rf"(?:{_MARK}|\\(?i:boxed)|\\text)[\W_]{{0,12}}"
    r"(?:([A-Z])(?![\w/+&-]|['’]\w)|([a-z])(?=[)\]:]|[.*_`\"'}]{0,6}[ \t]{0,6}(?:[\n<]|\Z)))"
)
_MARKED_TEXT: Final = re.compile(rf"{_MARK}[ \t]*([^\n]{{1,200}})")
_LABEL_FIRST: Final = re.compile(r"[^\w]{0,8}(?:([A-Za-z])[*_`]{0,3}(?:[)\]:）：]|\.(?=\s))|([A-Z]),\s)(.*)", re.DOTALL)
_LABEL: Final = re.compile(r"(?<!\S)[*_`(\[]{0,4}([A-Z])[*_`]{0,3}[)\].:）：](?=\s)")


def multiple_choice(prediction: str, target: Target) -> Score:
    """1 if the option that the text chooses is the right one, else 0; `Score.answer` is its letter.

    target.choices: the options, A first. target.answers: the letter or the text of each option that is right; what
    could be either is a letter. A text that is an option to the letter is that one, as where a model was held to the
    options: the official parser would take "sample B" for option B. Raises DataError for anything else.
    """
    right = {_letter_of(answer, target.choices) for answer in target.answers}
    if prediction in target.choices:
        letter: str | None = ascii_uppercase[target.choices.index(prediction)]
    else:
        letter = parse_choice(prediction, target.choices)
    if letter is None:
        return unparsed(f"{quoted(prediction)} chooses none of the {len(target.choices)} options, or several")
    option = target.choices[ascii_uppercase.index(letter)]
    return scored(float(letter in right), letter, f"{quoted(prediction)} is read as {letter}, {quoted(option)}")


def option_of(answer: str, choices: Sequence[str]) -> str:
    """The text of the option that a ground truth names, by its letter or its text. Raises DataError."""
    return choices[ascii_uppercase.index(_letter_of(answer, choices))]


def parse_choice(response: str, choices: Sequence[str]) -> str | None:
    r"""The letter of the option that a response chooses, or None; never a guess.

    First as parse_multi_choice_response does (MMMU-Benchmark/MMMU, eval/eval_utils.py): `(B)`; else ` B `; else, in
    more than five words, the text of an option; the last one counts. Where that finds nothing: an option's text or a
    letter alone (`dog`, `b`, `**B**`, `"B."`), marked (`Answer: B`, `\boxed{B}`), first (`B) dog`, `B, because`),
    on a line of its own, or a marked text (`The answer is dog`). Time is linear in the response.
    """
    letters = ascii_uppercase[: len(choices)]
    return _official(response, letters, choices) or _extended(response, letters, choices)


def _official(response: str, letters: str, choices: Sequence[str]) -> str | None:
    for mark in _STRIPPED:
        response = response.strip(mark)
    response = f" {response} "
    for form in ("({})", " {} "):
        if found := _last(response, {letter: form.format(letter) for letter in letters}):
            return found
    if len(response.split()) < _FEWEST_TOKENS:
        return None
    return _last(response.lower(), dict(zip(letters, (choice.lower() for choice in choices), strict=True)))


def _last(response: str, sought: dict[str, str]) -> str | None:
    """The letter of what occurs last; the first letter, if several begin at the same place."""
    places = {letter: response.rfind(text) for letter, text in sought.items()}
    found = [letter for letter, place in places.items() if place >= 0]
    return max(found, key=places.__getitem__, default=None)


def _extended(response: str, letters: str, choices: Sequence[str]) -> str | None:
    alone, named = _one([_bare(response).upper()], letters), _by_text(response, letters, choices)
    if alone or named:
        # "(c)" may be the third option, and the text of another.
        return alone or named if not (alone and named and alone != named) else None
    ways: tuple[Callable[[], str | None], ...] = (
        lambda: _marked(response, letters),
        lambda: _first(response, letters, choices),
        lambda: _one([bare for line in response.splitlines() if (bare := _bare(line)).isupper()], letters),
        lambda: _marked_text(response, letters, choices),
    )
    return next((letter for way in ways if (letter := way())), None)


def _one(found: Iterable[str], letters: str) -> str | None:
    """The only letter among what was found; None for several, which are no answer."""
    distinct = {letter for letter in found if len(letter) == 1 and letter in letters}
    return distinct.pop() if len(distinct) == 1 else None


def _marked(response: str, letters: str) -> str | None:
    found = [(upper or lower).upper() for upper, lower in _MARKED.findall(response)]
    return next((letter for letter in reversed(found) if letter in letters), None)


def _first(response: str, letters: str, choices: Sequence[str]) -> str | None:
    found = _LABEL_FIRST.match(response)
    if not found:
        return None
    letter, rest = (found[1] or found[2]).upper(), found[3]
    if {letter, *(label for label in _LABEL.findall(response) if label in letters)} != {letter}:
        return None
    named = _by_text(rest, letters, choices)
    return letter if letter in letters and named in (None, letter) else None


def _marked_text(response: str, letters: str, choices: Sequence[str]) -> str | None:
    texts = _MARKED_TEXT.findall(response)
    return _by_text(texts[-1], letters, choices) if texts else None


def _by_text(text: str, letters: str, choices: Sequence[str]) -> str | None:
    whole, bare = _fold(text), _fold(_bare(text))
    by_whole = [letter for letter, choice in zip(letters, choices, strict=True) if _fold(choice) == whole]
    by_bare = [letter for letter, choice in zip(letters, choices, strict=True) if bare and _fold(_bare(choice)) == bare]
    return _one(by_whole or by_bare, letters)


def _bare(text: str) -> str:
    return text.strip(_EDGES)


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _letter_of(answer: str, choices: Sequence[str]) -> str:
    letters = ascii_uppercase[: len(choices)]
    if len(answer) == 1 and answer in letters:
        return answer
    if answer in choices:
        return letters[choices.index(answer)]
    if (letter := _by_text(answer, letters, choices)) is not None:
        return letter
    known = f"a letter from A to {letters[-1]}, or the text of one option" if letters else "options to choose from"
    raise DataError(f"got {quoted(answer)} as the right one of {len(choices)} options; expected {known}")
