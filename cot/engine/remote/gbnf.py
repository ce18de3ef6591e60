"""Regular expressions and choices -> GBNF, the grammars of llama.cpp.

In: a pattern in Rust's `regex` syntax, or texts. Out: a grammar, or None for a pattern with parts that GBNF
lacks (anchors, Unicode classes, flags, sets of sets). Replies are checked all the same.
Format: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

import re
from typing import Final

from cot.engine.base import Choices, Regex
from cot.engine.grammar import REGEX_META

_CODES: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a"}
_CLASSES: Final = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\x20\x09-\x0D"}
"""Their ASCII parts: a grammar may allow less than the pattern, never more."""

_HEX: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|[xuU]\{([0-9A-Fa-f]{1,6})\}")
_GROUP: Final = re.compile(r"\((?:\?:|\?P?<[A-Za-z_][A-Za-z0-9_]*>)?(?!\?)")
_TIMES: Final = re.compile(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})")


class _UnknownError(Exception):
    """The pattern has something that is not translated."""


def choices_grammar(choices: Choices) -> str:
    """A grammar of these texts."""
    return f"root ::= {' | '.join(_literal(value) for value in choices.values)}"


def regex_grammar(regex: Regex) -> str | None:
    """A grammar of the texts that the whole pattern matches; None if it cannot be translated."""
    parser = _Parser(regex.pattern)
    try:
        body = parser.alternatives()
        return f"root ::= {body}" if parser.done else None
    except (_UnknownError, RecursionError):
        return None


class _Parser:
    """Reads a pattern from left to right; each method gives what it read, as GBNF."""

    def __init__(self, pattern: str):
        self._pattern = pattern
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._pattern)

    def alternatives(self) -> str:
        found = [self._sequence()]
        while self._next("|"):
            found.append(self._sequence())
        return " | ".join(found)

    def _sequence(self) -> str:
        found: list[str] = []
        while not self.done and self._peek() not in "|)":
            atom = self._atom()
            times = _TIMES.match(self._pattern, self._at)
            if times:
                self._at = times.end()
                self._next("?")  # a lazy repetition matches the same texts
                atom += times[0]
                if _TIMES.match(self._pattern, self._at):
                    raise _UnknownError
            found.append(atom)
        return " ".join(found) or '""'

    def _atom(self) -> str:
        if group := _GROUP.match(self._pattern, self._at):
            self._at = group.end()
            inner = self.alternatives()
            if not self._next(")"):
                raise _UnknownError
            return f"({inner})"
        if self._next("["):
            return self._class()
        if self._next("."):
            return r"[^\x0A]"
        if self._next("\\"):
            if self._peek() in _CLASSES:
                return f"[{_CLASSES[self._take()]}]"
            return _literal(self._escaped())
        if self._peek() in REGEX_META:
            raise _UnknownError
        return _literal(self._take())

    def _class(self) -> str:
        negated = self._next("^")
        found = ""
        while not self._next("]"):
            if self._pattern.startswith(("[", "&&", "--", "~~"), self._at):
                raise _UnknownError
            if self._next("\\"):
                if self._peek() in _CLASSES:
                    if negated:
                        raise _UnknownError
                    found += _CLASSES[self._take()]
                    continue
                first = self._escaped()
            else:
                first = self._take()
            found += _code(first)
            if self._peek() == "-" and not self._pattern.startswith("-]", self._at):
                self._at += 1
                found += f"-{_code(self._escaped() if self._next(chr(92)) else self._take())}"
        if not found:
            raise _UnknownError
        return f"[{'^' * negated}{found}]"

    def _escaped(self) -> str:
        """The character that an escape stands for, its backslash already read."""
        if digits := _HEX.match(self._pattern, self._at):
            self._at = digits.end()
            code = int(next(filter(None, digits.groups())), 16)
            if code > 0x10FFFF:
                raise _UnknownError
            return chr(code)
        letter = self._take()
        if letter in _CODES:
            return _CODES[letter]
        if letter.isalnum():
            raise _UnknownError
        return letter

    def _peek(self) -> str:
        if self.done:
            raise _UnknownError
        return self._pattern[self._at]

    def _take(self) -> str:
        taken = self._peek()
        self._at += 1
        return taken

    def _next(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        self._at += len(text) * found
        return found


def _literal(text: str) -> str:
    return f'"{"".join(map(_code, text))}"'


def _code(char: str) -> str:
    if char.isascii() and (char.isalnum() or char in " _,:;#%&@/=<>!~`'"):
        return char
    code = ord(char)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
