"""Requests -> the JSON that a server takes.

In: a `Request`, the server's dialect, and what it is known not to take. Out: a body. Images go along as PNG
files in data URLs, the same bytes each time, so that a server that caches by them need not encode twice.
"""

import base64
import json
import threading
from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Final

from cot.engine.base import Message, Request
from cot.engine.remote.dialect import Server
from cot.image import LoadedImage

CACHED_BYTES_AT_MOST: Final = 64 * 2**20

MOST_TOP_LOGPROBS: Final = 20
"""What the OpenAI API allows."""

OPTIONAL: Final = {
    "top_logprobs": ("top_logprob",),
    "logprobs": ("logprob",),
    "stream_options": ("stream_options",),
    "seed": ("seed",),
    "max_tokens": ("max_completion_tokens",),
    "constraint": ("response_format", "json_schema", "schema", "structured", "guided", "regex", "grammar"),
    "n": ("[\"'`]n[\"'`]", r"(?<![\w-])n\s*(?:=|>|must)", "completion choice"),
    "stop": ("[\"'`]stop[\"'`]",),
    "top_p": ("top_p",),
    "temperature": ("temperature",),
}
"""What a request can do without, and the words, as patterns, by which a refusal names it. Without `max_tokens`, its
newer name `max_completion_tokens` is used. Refusals are searched in this order: of two words the longer one first."""

PLAIN: Final = ("seed", "top_p", "temperature")
"""Those that are one field of a request: without it they are not said."""


class ImageUrls:
    """Data URLs of images, made once per image. Safe to use from several threads."""

    def __init__(self, max_bytes: int = CACHED_BYTES_AT_MOST):
        self._max_bytes = max_bytes
        self._urls: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def url(self, image: LoadedImage) -> str:
        """`data:image/png;base64,…`; the least recently used are forgotten."""
        with self._lock:
            if image.sha256 in self._urls:
                self._urls.move_to_end(image.sha256)
                return self._urls[image.sha256]
            url = f"data:image/png;base64,{base64.b64encode(image.to_png()).decode()}"
            self._urls[image.sha256] = url
            self._bytes += len(url)
            while self._bytes > self._max_bytes:
                _, forgotten = self._urls.popitem(last=False)
                self._bytes -= len(forgotten)
            return url


def request_body(
    request: Request, server: Server, images: ImageUrls, *, without: Collection[str] = (), stream: bool = False
) -> bytes:
    """The body of a chat completion.

    without: names of `OPTIONAL` parts that the server does not take.
    Raises EngineError for what the server cannot be told, and ImageError if an image cannot be encoded.
    """
    limit = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    body: dict[str, Any] = {
        "model": server.model,
        "messages": [_message(message, images) for message in request.messages],
        limit: request.max_tokens,
        **server.sampled(request.sampling),
    }
    if tells_stop(request, server, without):
        body["stop"] = list(request.stop)
    if request.n > 1 and "n" not in without:
        body["n"] = request.n
    if "logprobs" not in without:
        body["logprobs"] = True
        alternatives = 0 if "top_logprobs" in without else request.alternatives
        if alternatives or server.dialect == "llamacpp":
            # The token that was chosen is one of the likeliest, as a rule.
            body["top_logprobs"] = min(alternatives + 1, MOST_TOP_LOGPROBS)
    for name in PLAIN:
        if name in without:
            body.pop(name, None)
    if request.constraint is not None and "constraint" not in without:
        body |= server.constrained(request.constraint)
    if stream:
        body["stream"] = True
        if "stream_options" not in without:
            body["stream_options"] = {"include_usage": True}
    return json.dumps(body).encode()


def tells_stop(request: Request, server: Server, without: Collection[str]) -> bool:
    """Whether a body names the request's stop strings, which are looked for in the reply too.

    They are for the choice, and would cut an object around it: many begin a new line there.
    """
    wrapped = "constraint" not in without and server.wraps(request.constraint)
    return bool(request.stop) and "stop" not in without and not wrapped


def _message(message: Message, images: ImageUrls) -> dict[str, Any]:
    """A single text goes as text, which every chat template takes; anything else in parts, in order."""
    if len(message.content) == 1 and isinstance(message.content[0], str):
        return {"role": message.role, "content": message.content[0]}
    parts: list[dict[str, Any]] = []
    for part in message.content:
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
        else:
            parts.append({"type": "image_url", "image_url": {"url": images.url(part)}})
    return {"role": message.role, "content": parts}
