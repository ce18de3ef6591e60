"""Tokens of a text under the embedded model's tokenizer. Loads no model."""

from functools import cache
from typing import TYPE_CHECKING

from cot.shipped import weights_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def count_tokens(text: str) -> int:
    """Number of tokens, without the chat template's own and without images. Raises ConfigError without weights."""
    return len(_tokenizer().encode(text, add_special_tokens=False).ids)


@cache
def _tokenizer() -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
