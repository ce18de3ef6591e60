"""Constraints: which tokens may come next, by llguidance.

In: `Choices`, `Regex` or `JsonSchema`, and the tokens so far. Out: a mask over the vocabulary.
It applies no mask and picks no token.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cot.engine.base import Constraint
from cot.engine.grammar import grammar, one_line, shown
from cot.errors import EngineError

COMPILED_AT_MOST = 64


class ConstraintState:
    """One answer's place in its constraint. Feed it each token that was chosen."""

    def __init__(self, matcher: Any, eos_ids: tuple[int, ...]):
        self._matcher = matcher
        self._eos_ids = [*eos_ids]
        self._mask: NDArray[np.bool_] | None = None
        self._allowed: NDArray[np.bool_] | None = None

    def allowed(self, vocab_size: int) -> NDArray[np.bool_]:
        """Tokens that may come next, shape (vocab_size,); end tokens exactly when the text is complete.

        Not to be changed: it is given again until the next token.
        Raises EngineError if no token of this vocabulary can go on.
        """
        if self._allowed is not None and len(self._allowed) == vocab_size:
            return self._allowed
        mask = np.zeros(vocab_size, dtype=np.bool_)
        known = self._following()[:vocab_size]
        mask[: len(known)] = known
        mask[[token for token in self._eos_ids if token < vocab_size]] = self._matcher.is_accepting()
        if not mask.any():
            raise EngineError("no token can continue the answer under its constraint; use a simpler constraint")
        self._allowed = mask
        return mask

    def advance(self, token: int) -> None:
        """Take a token that `allowed` allowed; not an end token."""
        self._mask = self._allowed = None
        if not self._matcher.consume_token(token):
            raise EngineError(f"the constraint refused token {token}: {one_line(self._matcher.get_error())}")

    @property
    def satisfied(self) -> bool:
        """The text is one that the constraint allows, though more may follow."""
        return bool(self._matcher.is_accepting())

    @property
    def complete(self) -> bool:
        """The text satisfies the constraint and nothing more may follow."""
        if not self.satisfied:
            return False
        return bool(self._matcher.is_stopped()) or not self._following().any()

    def _following(self) -> NDArray[np.bool_]:
        """Tokens that may come next, end tokens left out."""
        if self._mask is None:
            packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
            self._mask = np.unpackbits(packed, bitorder="little").astype(np.bool_)
            self._mask[[token for token in self._eos_ids if token < len(self._mask)]] = False
            if self._matcher.is_error():
                raise EngineError(f"the constraint is too complex: {one_line(self._matcher.get_error())}")
        return self._mask


class ConstraintCompiler:
    """Makes constraint states for one tokenizer. Reads the vocabulary once, at the first constraint."""

    def __init__(self, tokenizer: Any, eos_ids: tuple[int, ...]):
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._vocabulary: Any = None
        self._lead = ""
        self._compiled = lru_cache(maxsize=COMPILED_AT_MOST)(self._compile)

    def start(self, constraint: Constraint) -> ConstraintState:
        """The state before the first token. Raises EngineError for an invalid pattern, schema or choice."""
        return ConstraintState(self._compiled(constraint).deep_copy(), self._eos_ids)

    def _compile(self, constraint: Constraint) -> Any:
        from llguidance import LLMatcher

        if self._vocabulary is None:
            self._vocabulary = _read_vocabulary(self._tokenizer, self._eos_ids)
            # Some tokenisers start words with a blank that decoding takes off the first one again.
            first_word = self._tokenizer.encode("a", add_special_tokens=False)
            self._lead = " ?" if self._vocabulary.decode_str(first_word).startswith(" ") else ""
        matcher = LLMatcher(self._vocabulary, grammar(constraint, self._lead), log_level=0)
        if matcher.is_error():
            raise EngineError(f"invalid constraint {shown(constraint)}: {one_line(matcher.get_error())}")
        return matcher


def _read_vocabulary(tokenizer: Any, eos_ids: tuple[int, ...]) -> Any:
    from llguidance.hf import from_tokenizer

    if not eos_ids:
        raise EngineError(
            "the model names no end token, so its answers cannot be constrained; ask without a constraint"
        )
    try:
        return from_tokenizer(tokenizer, eos_token=[*eos_ids])
    except ValueError as error:
        name = type(tokenizer).__name__
        raise EngineError(f"constraints need a fast tokenizer, got {name}: {one_line(str(error))}") from error
