"""Numbers in words: `three`, `twenty-first`, `two hundred and five`, `3 million`, `二十一`.

In: text in English or Chinese. Out: the same text with digits in their place. Words that name a number among others
("which one", "a second") count as numbers: who leaves numbers out rather leaves out too many.
"""

import re
import unicodedata
from typing import Final

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
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
    **{word: value for words in (_ONES, _ORDINALS) for value, word in enumerate(words.split())},
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
    rf"|(?P<digits>[0-9]{{1,15}})(?=[\s-]{{0,3}}(?:{'|'.join(_SCALES)}))",
    re.ASCII | re.IGNORECASE,
)
_WITHIN: Final = re.compile(r"[\s-]{0,3}|\s{1,3}and\s{1,3}", re.IGNORECASE)
"""What may stand between the words of one number."""


def in_digits(text: str) -> str:
    """The text with its numbers in words as digits; digits of any script become 0 to 9."""
    text = "".join(_folded(character) for character in unicodedata.normalize("NFKC", text))
    parts: list[str] = []
    number: int | None = None
    at = 0
    for word in _WORD.finditer(text):
        between = text[at : word.start()]
        if number is None or not _WITHIN.fullmatch(between):
            parts += [_shown(number), between]
            number = None
        told = (word["english"] or word["chinese"] or word["digits"]).lower()
        at = word.end()
        if told in _SCALES:
            number = _times(number or 0, _SCALES[told])
            continue
        value = int(told) if told.isdecimal() else _VALUES[told]
        if number and number % 10 ** len(str(value)) == 0:
            number += value
        else:
            # `nineteen ninety-nine` and `four seven one one` are told in pieces.
            parts += [_shown(number), " " * (number is not None)]
            number = value
    return "".join((*parts, _shown(number), text[at:]))


def _folded(character: str) -> str:
    """A digit as 0 to 9, and a letter that is an `i` to some as `i`: Turkish has one with and one without a dot."""
    value = unicodedata.decimal(character, None)
    return ("i" if character in "İı" else character) if value is None else str(value)


def _times(number: int, scale: int) -> int:
    """`two thousand three` times hundred is 2,300: only what is smaller than the scale is multiplied."""
    low = number % scale
    return number - low + (low or 1) * scale


def _shown(number: int | None) -> str:
    return "" if number is None else str(number)
