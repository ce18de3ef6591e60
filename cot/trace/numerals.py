"""Numbers in words: `three`, `twenty-first`, `two hundred and five`, `3 million`, `3,5 million`, `XIV`, `二十一`.

In: text in English or Chinese. Out: the same text with digits in their place. Words that name a number among others
("which one", "a second") count as numbers, and words that may be one number or several are read as both: who leaves
numbers out rather leaves out too many.
"""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
"""The numbers from 0 on, each by one word."""

_ORDINALS: Final = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
    " fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_SCALES: Final = {
    "dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9,
    "十": 10, "百": 100, "千": 1000, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
}  # fmt: skip
"""What multiplies the number before it."""

_VALUES: Final = {
    **{word: value for words in (ONES, _ORDINALS) for value, word in enumerate(words.split())},
    **{word: 20 + 10 * place for place, word in enumerate(_TENS.split())},
    **{f"{word[:-1]}ieth": 20 + 10 * place for place, word in enumerate(_TENS.split())},
    **{character: value for value, character in enumerate("零一二三四五六七八九")},
    "〇": 0, "两": 2, "兩": 2, "once": 1, "twice": 2, "thrice": 3,
}  # fmt: skip
_WORDS: Final = (*_VALUES, *_SCALES)
_ENGLISH: Final = "|".join(sorted(filter(str.isascii, _WORDS), key=len, reverse=True))
_CHINESE: Final = "".join(word for word in _WORDS if not word.isascii())
_WORD: Final = re.compile(
    rf"(?<![a-z])(?P<english>{_ENGLISH})(?:s|ths?)?(?![a-z])|(?P<chinese>[{_CHINESE}])"
    rf"|(?<![0-9])(?P<times>(?:[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,4}}|[0-9]{{1,15}})(?:\.[0-9]{{1,15}})?)[\s-]{{0,3}}"
    rf"(?P<scale>{'|'.join(_SCALES)})(?:(?<=[a-z])(?:s|ths?)?(?![a-z])|(?<![a-z]))"
    r"|(?<![0-9.])(?P<digits>[0-9]{1,15})(?![0-9])",
    re.ASCII | re.IGNORECASE,
)
_TENTHS: Final = {"百": "十", "千": "百", "万": "千", "萬": "千", "亿": "千万", "億": "千万"}
_SHORT: Final = re.compile(rf"([{''.join(_TENTHS)}])[一二两兩三四五六七八九1-9](?![{_CHINESE}0-9.])")
"""A digit right behind a scale, which counts tenths of it: `两万五` is 25,000."""

_WITHIN: Final = tuple(map(re.compile, (r"[\s-]{0,3}|\s{1,3}(?i:and)\s{1,3}", r"[\s-]{0,3}", "-?")))
"""What may stand between the words of one number, by three readings: `two hundred and five` may be 200 and 5, and
`twenty one` may be 20 and 1."""
_OTHER_MARKS: Final = str.maketrans(",.", ".,")
"""Of languages that write 1,234.5 as 1.234,5."""
_ROMAN: Final = re.compile(
    r"(?<![A-Za-z])(?=[MDCLXVI]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})(?![A-Za-z])"
)
"""In capitals, of two letters and more: one alone, such as `I`, is a word or a letter far more often."""

_ROMAN_VALUES: Final = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}
_AND_FROM: Final = 100
"""The smallest scale that may have `and` behind it within a number."""
_LARGEST: Final = 10**18
"""What is as large as this is multiplied no more."""


def in_digits(text: str) -> tuple[str, ...]:
    """The text with its numbers in words as digits, by each reading; digits of any script become 0 to 9."""
    text = _ROMAN.sub(_roman, "".join(map(_folded, unicodedata.normalize("NFKC", text))))
    texts = (_SHORT.sub(lambda short: short[0] + _TENTHS[short[1]], text) for text in _with_marks(text))
    return tuple(_read(text, within) for text in texts for within in _WITHIN)


def _with_marks(text: str) -> Iterable[str]:
    """The text, and as it is where points and commas change places."""
    return dict.fromkeys((text, text.translate(_OTHER_MARKS)))


def _folded(character: str) -> str:
    """A digit as 0 to 9, and a letter that is an `i` to some as `i`: Turkish has one with and one without a dot."""
    value = unicodedata.decimal(character, None)
    return ("i" if character in "İı" else character) if value is None else str(value)


def _roman(numeral: re.Match[str]) -> str:
    values = [_ROMAN_VALUES[letter] for letter in numeral[0]]
    return str(sum(-value if value < after else value for value, after in zip(values, (*values[1:], 0), strict=True)))


def _read(text: str, within: re.Pattern[str]) -> str:
    parts: list[str] = []
    number: list[int] = []
    """What it is the sum of."""
    room = at = 0
    """What comes next is part of the number if it is less than `room`."""
    for word in _WORD.finditer(text):
        between, at = text[at : word.start()], word.end()
        value, scale = _told(word)
        over_and = between.strip().lower() == "and"
        joins = within.fullmatch(between) is not None and (room >= _AND_FROM or not over_and)
        # `一千百` is 1,100, but `hundred dozen` is 1,200.
        if value is None and joins and number and (room <= scale or scale % 10) and sum(number) < _LARGEST:
            multiplied = [part for part in number if part < scale] or number[-1:]
            number = number[: -len(multiplied)]
            value = sum(multiplied) * scale
            joins = not number or value < number[-1]
        else:
            value = scale if value is None else value
            joins = joins and value < room
        if not joins:
            parts += [_shown(number), between or " "]
            number = []
        number.append(value)
        room = scale or (room if joins and value == 0 else 0)
    return "".join((*parts, _shown(number), text[at:]))


def _told(word: re.Match[str]) -> tuple[int | None, int]:
    """Its value, None for a scale alone, and the scale: what may follow within the number is less; 0 if nothing may."""
    if word["digits"]:
        return int(word["digits"]), 0
    if word["times"]:
        scale = _SCALES[word["scale"].lower()]
        return int(Decimal(word["times"].replace(",", "")) * scale), scale
    told = (word["english"] or word["chinese"]).lower()
    if told in _SCALES:
        return None, _SCALES[told]
    return _VALUES[told], 10 * (_VALUES[told] >= 20)


def _shown(number: list[int]) -> str:
    return str(sum(number)) if number else ""
