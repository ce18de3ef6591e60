"""Numbers within texts. Every pattern takes linear time: its runs of digits never give one back."""

import re
from typing import Final

_MMMU: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"-?\b\d{1,3}(?:,\d{3})+\b",
        r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d++",
        r"-?(?:(?<!\d)(?:\d++\.\d++|\d++\b)|\.\d++)(?![eE][+-]?\d)(?![,\d])",
    )
)

_WHOLE: Final = re.compile(
    r"(?:(?<![\w)\]])[-\u2212])?(?<!\w)(?<!\d[.,])"
    r"(?:\d{1,3}(?:,\d{3})++(?:\.\d++)?+|\d++(?:\.\d++)?+|\.\d++)(?:[eE][+-]?\d++)?+(?!\w)(?![.,]\d)"
)


def numbers(text: str) -> list[float]:
    """All numbers that stand for themselves, in order: "-1,234.5", ".5", "6e23".

    A hyphen is a minus unless something stands right before it ("3-5" has 3 and 5). Digits that belong to a word
    ("H2O", "5cm") or to something longer ("1.2.3", "1,23") are no number; a percentage is its number.
    """
    return [float(found.replace(",", "").replace("\u2212", "-")) for found in _WHOLE.findall(text)]


def mmmu_numbers(text: str) -> list[str]:
    """All that MMMU's official code takes for a number: with commas, in scientific notation, and simple ones.

    Finds what extract_numbers in MMMU-Benchmark/MMMU, eval/eval_utils.py finds, where the same digits may count
    several times: "1,234" is 1234 and 234.
    """
    return [found for pattern in _MMMU for found in pattern.findall(text)]
