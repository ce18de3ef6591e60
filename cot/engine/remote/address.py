"""Where a server is, and the key that it may want.

In: the URL that the user or a settings file names, and the environment. Out: an `Address` and an `ApiKey`. Nothing is
sent.
A URL with a password or a query is refused, because URLs are shown and recorded.
"""

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from cot.config import KEY_VARIABLE
from cot.errors import ConfigError, EngineError, ModelNameError, reason
from cot.settings import Settings
from cot.source import shown, without_credentials

OPENAI_HOST: Final = "api.openai.com"
OPENAI_KEY_VARIABLE: Final = "OPENAI_API_KEY"
"""Read for `OPENAI_HOST` only: a key of one service must not reach the server of another."""

_EXPECTED: Final = "expected for example http://localhost:8000/v1, or http://localhost:8000/v1#model-name"


@dataclass(frozen=True)
class Address:
    """A server's URL, in parts that hold no secret.

    base: what paths of the API follow, without a slash at its end: `http://localhost:8000/v1`.
    root: `base` without `/v1`, where servers keep what is not of the API. host: in lower case.
    model: what stood behind the `#`.
    """

    base: str
    root: str
    host: str
    model: str | None = None

    @property
    def here(self) -> bool:
        """Whether the server is on this machine, so that what it gets stays here."""
        # Not names below it: not every resolver keeps these here, as it should.
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


def parse_address(url: str) -> Address:
    """Take `url` apart; without a path, `/v1` is meant.

    Raises ModelNameError for anything but http and https, and for a user name, a password or a query.
    """
    named = repr(re.split(r"[?#]", without_credentials(url))[0][:200])
    if re.search(r"[\x00-\x20\x7f]", url.partition("#")[0]):
        raise ModelNameError(f"server {named} has blanks or control characters in its URL; {_EXPECTED}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ModelNameError(f"server {named} is not a URL; {_EXPECTED}") from error
    if parts.scheme not in ("http", "https"):
        raise ModelNameError(f"server {named} is no http or https URL; {_EXPECTED}")
    if not host:
        raise ModelNameError(f"server {named} has no host in its URL; {_EXPECTED}")
    if "@" in parts.netloc or parts.query:
        raise ModelNameError(
            f"server {named} was given with a user name, a password or a query, which traces would show; "
            f"{_EXPECTED}, and the key in {KEY_VARIABLE}"
        )
    try:
        httpx.URL(f"{parts.scheme}://{parts.netloc}")
    except httpx.InvalidURL as error:
        raise ModelNameError(f"server {named} is not a URL: {reason(error)}; {_EXPECTED}") from error
    origin = f"{parts.scheme}://{in_url(host)}" + (f":{port}" if port is not None else "")
    path = parts.path.rstrip("/") or "/v1"
    return Address(origin + path, origin + path.removesuffix("/v1"), host, parts.fragment or None)


def in_url(host: str) -> str:
    """A host as it stands in a URL: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def check_server(settings: Settings) -> None:
    """Raises EngineError for a wrong URL, and ConfigError for a server on another machine that a folder's file names:
    whoever made that folder would get the user's images and key unasked."""
    if not parse_address(settings.model).here and settings.set_by_folder("model"):
        raise ConfigError(
            f"the server {shown(settings.model)} is on another machine and would get your images and {KEY_VARIABLE}; "
            "if you trust it, name it yourself, with --model or COT_MODEL"
        )


@dataclass(frozen=True)
class ApiKey:
    """A key, or the lack of one. variable: where it came from, or would come from."""

    variable: str
    value: str | None = field(default=None, repr=False)

    def redact(self, text: str) -> str:
        """`text` without the key, which some servers repeat in their errors."""
        return text.replace(self.value, "***") if self.value else text


def read_key(address: Address, variable: str | None = None, *, environment: Mapping[str, str] | None = None) -> ApiKey:
    """The key for a server, from the environment only.

    variable: the only one to look at, instead of `KEY_VARIABLE`.
    Raises EngineError if the value cannot stand in a header.
    """
    environment = os.environ if environment is None else environment
    names = [variable] if variable else [KEY_VARIABLE]
    if variable is None and address.host == OPENAI_HOST and address.base.startswith("https:"):
        names.append(OPENAI_KEY_VARIABLE)
    for name in names:
        value = environment.get(name, "").strip()
        if value and not re.fullmatch(r"[\x21-\x7e]+", value):
            raise EngineError(
                f"the key in {name} has characters that no header can carry; expected ASCII; set it again"
            )
        if value:
            return ApiKey(name, value)
    return ApiKey(names[-1])
