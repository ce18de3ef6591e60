"""What a server's refusal means, in one line for people.

In: status, body and headers of a reply that is no answer. Out: the server's own words made plain, the
line to show, and how long to wait. It decides nothing but whether trying again can help.
"""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cot.engine.remote.address import Address, ApiKey
from cot.errors import EngineError, RequestError
from cot.trace.plain import plain

MAX_MESSAGE_CHARACTERS: Final = 300

_TOO_LONG: Final = re.compile(
    r"context|n_ctx|maximum (?:model|prompt|input|token)|max_model_len|too many tokens|prompt is too long",
    re.IGNORECASE,
)
_UNFIT: Final = (400, 413, 414, 415, 422)
"""What servers say of a prompt that is too long, or an image that they cannot take."""
_NEVER: Final = re.compile(r"\bnot support|\bunsupported", re.IGNORECASE)
"""What servers say of what they cannot do, llama.cpp of images with HTTP 500."""
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]*)", re.IGNORECASE)


class RefusedError(EngineError):
    """The server does not answer this request, however often it was asked.

    status: HTTP. message: the server's own words, plain, without the key.
    """

    def __init__(self, line: str, status: int, message: str):
        super().__init__(line)
        self.status = status
        self.message = message


class RefusedRequestError(RefusedError, RequestError):
    """The server works, and does not take what this request holds."""


class PassingError(EngineError):
    """The same request may succeed later.

    status: HTTP, 0 if there was no whole reply. retry_after_seconds: what the server asked to wait.
    message: as of `RefusedError`.
    """

    def __init__(self, line: str, status: int = 0, retry_after_seconds: float | None = None, message: str = ""):
        super().__init__(line)
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.message = message


def passes(status: int, message: str) -> bool:
    """Whether trying again can help. message: the server's own words."""
    broken = 500 <= status < 600 and status != 501 and not _NEVER.search(message)
    return status in (408, 409, 425, 429) or broken


def server_message(body: bytes, key: ApiKey) -> str:
    """The server's words: the message of a JSON error, the title of a page, or else the text; on one line."""
    text = body.decode("utf-8", "replace")
    try:
        found = message_of(json.loads(text))
    except (ValueError, RecursionError):
        title = _TITLE.search(text)
        found = title[1] if title else "an HTML page" if text.lstrip()[:1] == "<" else text
    return clean(found, key)


def clean(text: str, key: ApiKey) -> str:
    """Text from a server made fit for an error message: plain, short, on one line, without the key."""
    shown = key.redact(plain(text, one_line=True))
    return shown if len(shown) <= MAX_MESSAGE_CHARACTERS else f"{shown[: MAX_MESSAGE_CHARACTERS - 1]}…"


def refusal(status: int, message: str, address: Address, key: ApiKey, location: str = "") -> RefusedError:
    """The error for a status that trying again does not change."""
    said = f"HTTP {status}{message and f': {message}'}"
    line = f"server {address.base} refused the request ({said}); expected an answer; "
    if 300 <= status < 400:
        line = f"server {address.base} points elsewhere ({said}{location and f' to {clean(location, key)}'}); "
        line += "expected an answer, since redirects are not followed; name the address that answers"
    elif status in (401, 403):
        held = f"the key in {key.variable}" if key.value else "a request without a key"
        line = f"server {address.base} refused {held} ({said}); expected a valid key; set {key.variable}"
    elif status in (404, 405):
        line = f"server {address.base} knows no such model or address ({said}); "
        line += "expected a model it serves and a URL that ends in /v1; name them as URL#model"
    elif status == 402:
        line += "pay for what the server asks, or use another one"
    elif status == 413 or _TOO_LONG.search(message):
        line += "shorten the question, use smaller images, or serve the model with a longer context"
    else:
        line += "check that the server takes images and that the model fits the request"
    return (RefusedRequestError if status in _UNFIT else RefusedError)(line, status, message)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a `Retry-After` header: a number of seconds or an HTTP date. None if it is neither."""
    if not value:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,6})?\s*", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def message_of(value: Any) -> str:
    """What an error in JSON says: OpenAI and vLLM say error.message, SGLang message, Ollama error, FastAPI detail."""
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(name):
            return message_of(value[name])
    return value if isinstance(value, str) else json.dumps(value)
