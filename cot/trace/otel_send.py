"""Sends spans to a collector: OTLP over HTTP, as JSON.

In: what `cot.trace.otel` makes of a trace, and the address that the user named. Out: nothing, or why the collector has
not got them. Headers, such as a key, come from the environment variables of the OpenTelemetry specification and
are shown nowhere. It tries once: the spans are in the trace still.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from cot.errors import TraceError
from cot.source import public_url, shown, unusable_proxy
from cot.trace.plain import plain

if TYPE_CHECKING:
    import httpx

SIGNAL_PATH: Final = "/v1/traces"
"""Stands behind the collector's address, as the OTLP specification has it."""

HEADER_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
"""`name=value,name=value`, values percent-encoded; the second wins."""

TIMEOUT_SECONDS: Final = 30.0
MAX_REPLY_BYTES: Final = 2**16


def is_address(text: str) -> bool:
    """Whether this is an address and no file."""
    return text.lower().startswith(("http://", "https://"))


def send(spans: Mapping[str, Any], address: str, *, environment: Mapping[str, str] | None = None) -> None:
    """Send an `ExportTraceServiceRequest`. Redirects are not followed.

    address: of the collector, http or https; `/v1/traces` is added unless it ends so. environment: instead of the
    process's. Raises TraceError if the collector cannot be reached, refuses them, or rejects some.
    """
    import httpx

    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"} | _headers(
        os.environ if environment is None else environment
    )
    name = shown(public_url(address))
    try:
        parts = urlsplit(address)
        path = parts.path.rstrip("/")
        url = parts._replace(path=path if path.endswith(SIGNAL_PATH) else path + SIGNAL_PATH).geturl()
        with (
            _client() as client,
            client.stream("POST", url, content=json.dumps(spans), headers=headers) as response,
        ):
            reply = _bounded(response)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        raise TraceError(
            f"cannot send spans to {name}: {type(error).__name__}; expected a collector that takes OTLP over HTTP, as"
            " http://localhost:4318 may be; check that it runs there"
        ) from error
    if response.status_code != 200:
        said = plain(reply.decode("utf-8", "replace"), one_line=True, most=200)
        raise TraceError(
            f"{name} refused the spans: HTTP {response.status_code} {said}; expected 200; check the address, and the"
            f" headers in {HEADER_VARIABLES[0]}"
        )
    if rejected := _rejected(reply):
        raise TraceError(f"{name} rejected spans: {rejected}; expected it to take them all; see the collector's log")


def _client() -> "httpx.Client":
    import httpx

    try:
        return httpx.Client(timeout=TIMEOUT_SECONDS)
    except (ImportError, ValueError) as error:
        raise TraceError(unusable_proxy(error)) from error


def _bounded(response: Any) -> bytes:
    """The beginning of a reply, as far as it comes in time; one that is packed all the same stays so."""
    begun = time.monotonic()
    reply = b""
    for chunk in response.iter_raw():
        reply += chunk
        if len(reply) >= MAX_REPLY_BYTES or time.monotonic() - begun > TIMEOUT_SECONDS:
            break
    return reply[:MAX_REPLY_BYTES]


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable in HEADER_VARIABLES:
        for pair in filter(None, map(str.strip, environment.get(variable, "").split(","))):
            header, equals, value = pair.partition("=")
            if not (equals and header.strip() and pair.isascii() and unquote(value).isprintable()):
                raise TraceError(f"{variable} is not made of headers; expected name=value,name=value; set it again")
            found[header.strip()] = unquote(value.strip())
    return found


def _rejected(reply: bytes) -> str:
    """What a collector says of spans that it did not take although it said yes; empty if it took them."""
    try:
        partial = json.loads(reply).get("partialSuccess") or {}
        if int(partial.get("rejectedSpans") or 0) > 0:
            return plain(f"{partial['rejectedSpans']}, {partial.get('errorMessage') or ''}", one_line=True, most=200)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        # A reply that says nothing that can be read says nothing against them.
        pass
    return ""
