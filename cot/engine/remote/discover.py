"""Finds out what a server is: its models, its dialect, its context length.

In: connections, and what the user said. Out: a `Server`. It asks for the list of models, and for one more page
that tells kinds of servers apart; it asks no model.
"""

import contextlib
import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cot.engine.remote.address import OPENAI_HOST
from cot.engine.remote.dialect import Dialect, Server
from cot.engine.remote.http import Http, read_all
from cot.engine.remote.status import RefusedError, clean
from cot.errors import EngineError

PROBE_SECONDS: Final = 5.0
NAMED_AT_MOST: Final = 20

_OWNERS: Final[dict[str, Dialect]] = {
    "vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp", "library": "ollama",
}  # fmt: skip
_PAGES: Final[dict[Dialect, str]] = {"vllm": "/version", "llamacpp": "/props", "ollama": "/api/version"}
"""Pages beside the API, where servers tell about themselves."""


class _Card(BaseModel):
    """One entry of the list of models. max_model_len: by vLLM and SGLang."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: Annotated[str, Field(min_length=1)]
    owned_by: str | None = None
    max_model_len: int | None = Field(default=None, ge=0)


class _Cards(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    data: Annotated[tuple[_Card, ...], Field(fail_fast=True)] | None = ()
    """Null if an Ollama has no model."""


async def discover(http: Http, model: str | None, dialect: Dialect | None) -> Server:
    """Ask the server. model, dialect: None to find out.

    Raises EngineError if it cannot be asked, or if it serves no model or several and none was named.
    """
    cards = await _cards(http, named=bool(model))
    # A server may know models that it does not list; if it does not know this one, it says so when asked.
    card = next((card for card in cards if card.id == model), _Card(id=model)) if model else _only(cards, http)
    owner = card.owned_by or (cards[0].owned_by if cards else None) or ""
    dialect = dialect or _OWNERS.get(owner)
    if dialect is None:
        page = {} if http.address.host == OPENAI_HOST else await _page(http, "ollama")
        dialect = "ollama" if "version" in page else "openai"
    else:
        page = await _page(http, dialect)
    return Server(dialect, card.id, _version(page), card.max_model_len or _context(page))


async def _cards(http: Http, *, named: bool) -> tuple[_Card, ...]:
    try:
        data = await http.exchange(f"{http.address.base}/models", read_all, retries=1 if named else None)
        return _Cards.model_validate_json(data).data or ()
    except RefusedError as error:
        # Some servers have no list, and that of `transformers serve` needs a hub cache.
        if not named and error.status >= 500:
            raise EngineError(
                f"the list of models at {http.address.base}/models could not be read (HTTP {error.status}"
                f"{error.message and f': {error.message}'}); expected the models of the server; name one behind a #, "
                f"{http.address.base}#NAME, which needs no list, or try again later"
            ) from error
        if not named or (error.status not in (404, 405) and error.status < 500):
            raise
    except ValidationError as error:
        if not named:
            raise EngineError(
                f"server {http.address.base} sent no list of models; expected an OpenAI-compatible server there; "
                "check the URL, which mostly ends in /v1"
            ) from error
    return ()


def _only(cards: tuple[_Card, ...], http: Http) -> _Card:
    if len(cards) == 1:
        return cards[0]
    names = ", ".join(clean(card.id, http.key) for card in cards[:NAMED_AT_MOST])
    more = f" and {len(cards) - NAMED_AT_MOST} more" if len(cards) > NAMED_AT_MOST else ""
    raise EngineError(
        f"server {http.address.base} serves {f'{names}{more}' if cards else 'no model'}; expected one model, or the "
        f"name of one; name it as {http.address.base}#{names.partition(', ')[0] or 'model-name'}"
    )


async def _page(http: Http, dialect: Dialect) -> dict[str, Any]:
    """What a server tells about itself; nothing if it does not."""
    if dialect not in _PAGES:
        return {}
    with contextlib.suppress(EngineError, ValueError, RecursionError):
        async with http.within(PROBE_SECONDS):
            found = json.loads(await http.exchange(http.address.root + _PAGES[dialect], read_all, retries=0))
            return found if isinstance(found, dict) else {}
    return {}


def _version(page: dict[str, Any]) -> str:
    found = page.get("version") or page.get("build_info")
    return found[:60] if isinstance(found, str) else ""


def _context(page: dict[str, Any]) -> int:
    settings = page.get("default_generation_settings")
    found = settings.get("n_ctx") if isinstance(settings, dict) else None
    return found if isinstance(found, int) and found > 0 else 0
