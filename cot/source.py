"""The bytes of a file, of standard input or of a web address, never more than a bound.

In: what the user named. Out: the bytes, and a name for messages and traces.
It does not look at what the bytes are; `cot.image` does. Nothing is fetched
unless the name itself is an http or https address.
"""

import os
import re
import stat
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import unquote, urlsplit

from cot.errors import ImageError, reason

DEFAULT_MAX_BYTES = 128 * 2**20
"""Bytes read at most: 128 MiB."""

DEFAULT_TIMEOUT_SECONDS = 30.0
"""Seconds that a download may take in all, redirects included."""

MAX_REDIRECTS = 5

_UNPACKED, _TOO_FAR = {"gzip", "x-gzip", "deflate"}, {"br", "zstd"}
"""Ways to compress that a download may be sent in, though none is asked for, and those that it may not: what is
compressed twice, or in newer ways, can be a million times as large as it was sent, and comes in one piece. Of other
words nothing is unpacked."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_KINDS: tuple[tuple[Callable[[int], bool], str, str], ...] = (
    (stat.S_ISDIR, "a directory", "name a file in it"),
    (stat.S_ISFIFO, "a named pipe", "send its data to standard input and name the image -"),
    (stat.S_ISCHR, "a device", "name an ordinary file, or - for standard input"),
    (stat.S_ISBLK, "a device", "name an ordinary file"),
    (stat.S_ISSOCK, "a socket", "name an ordinary file"),
)


def read_source(
    source: str | Path | BinaryIO,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> tuple[bytes, str]:
    """Read all bytes of `source`; return them with its name.

    source: a path (`~` is expanded), a `file://`, `http://` or `https://` URL, `-` for
        standard input, or an open binary file. A `Path` is never a URL.
    max_bytes: more than this is refused, while reading.
    timeout_seconds: bound on a whole download; local files have none.
    Raises ImageError if there is nothing to read, or too much of it.
    """
    if isinstance(source, Path):
        return _read_path(source, str(source), max_bytes), str(source)
    if not isinstance(source, str):
        name = str(getattr(source, "name", "<stream>"))
        return _read_all(source, name, max_bytes), name
    if source == "-":
        if sys.stdin.isatty():
            raise ImageError("image '-' is standard input, which is a terminal; expected a file or a pipe behind it")
        return _read_all(sys.stdin.buffer, "-", max_bytes), "-"
    scheme = _SCHEME.match(source)
    if scheme is None:
        return _read_path(Path(source), source, max_bytes), source
    if scheme[1].lower() == "file":
        return _read_path(_path_of_file_url(source), source, max_bytes), source
    name = public_url(source)
    if scheme[1].lower() not in ("http", "https"):
        raise ImageError(f"image {shown(name)} has the scheme {scheme[1]!r}; expected http, https, file, or a path")
    return _download(source, name, max_bytes, timeout_seconds), name


def shown(name: str) -> str:
    """`name` quoted for a message: on one line, and not endless."""
    return repr(name if len(name) <= 200 else f"{name[:150]}...{name[-40:]}")


def without_credentials(url: str) -> str:
    """`url` without the user name and password it may hold, which must not reach a trace."""
    return re.sub(r"^([^/?#]*//)[^/?#]*@", r"\1", url)


def public_url(url: str) -> str:
    """`url` as messages and traces name it. What stands behind `?` is left out too: it signs addresses that expire."""
    address, mark, _ = without_credentials(url).partition("#")[0].partition("?")
    return f"{address}?…" if mark else address


def unusable_proxy(error: Exception) -> str:
    """What to say of a proxy that the environment names and that an HTTP client refuses with this error."""
    return (
        f"a proxy named in the environment cannot be used: {reason(error)}; expected http://host:port in "
        "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; unset them if none is needed"
    )


def _path_of_file_url(url: str) -> Path:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ImageError(f"image {shown(url)} is not a URL: {error}; expected file:///path") from error
    if parts.netloc not in ("", "localhost"):
        raise ImageError(f"image {shown(url)} names the host {parts.netloc!r}; expected file:///path, on this machine")
    return Path(unquote(parts.path))


def _read_path(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path.expanduser(), flags)
    except FileNotFoundError as error:
        raise ImageError(f"image {shown(name)} does not exist; expected an image file; check the path") from error
    except PermissionError as error:
        raise ImageError(
            f"image {shown(name)} cannot be read: permission denied; expected a readable file; check its permissions"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"image {shown(name)} cannot be opened: {reason}; expected the path of an image") from error
    try:
        mode = os.fstat(handle).st_mode
        for is_kind, kind, hint in _KINDS:
            if is_kind(mode):
                raise ImageError(f"image {shown(name)} is {kind}; expected a file; {hint}")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return _read_all(stream, name, max_bytes)
    finally:
        os.close(handle)


def _read_all(stream: IO[bytes], name: str, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    left = max_bytes + 1
    try:
        while left > 0 and (chunk := stream.read(min(left, 2**20))):
            chunks.append(chunk)
            left -= len(chunk)
        data = b"".join(chunks)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"image {shown(name)} cannot be read: {reason}; expected the bytes of an image") from error
    if left <= 0:
        raise _too_large(name, f"more than {max_bytes}", max_bytes)
    return data


def _too_large(name: str, got: str, max_bytes: int) -> ImageError:
    return ImageError(
        f"image {shown(name)} has {got} bytes; expected at most {max_bytes}; shrink it or raise max_image_bytes"
    )


def _download(url: str, name: str, max_bytes: int, timeout_seconds: float) -> bytes:
    """Download in a thread of its own: a server that sends a byte now and then, or a slow
    name lookup, would pass the timeouts of single reads for ever."""
    outcome: Future[bytes] = Future()
    stop = threading.Event()

    def work() -> None:
        try:
            outcome.set_result(_fetch(url, name, max_bytes, timeout_seconds, stop))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="image-download", daemon=True).start()
    try:
        return outcome.result(timeout_seconds)
    except TimeoutError as error:
        raise ImageError(
            f"image {shown(name)} did not arrive within {timeout_seconds:g} seconds; expected a faster server; "
            "download it yourself or raise image_timeout_seconds"
        ) from error
    finally:
        stop.set()


def _fetch(url: str, name: str, max_bytes: int, timeout_seconds: float, stop: threading.Event) -> bytes:
    import httpx

    chunks: list[bytes] = []
    size = 0
    try:
        with (
            httpx.Client(follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=timeout_seconds) as client,
            client.stream("GET", url, headers={"Accept": "image/*", "Accept-Encoding": "identity"}) as response,
        ):
            if response.status_code != 200:
                raise ImageError(
                    f"image {shown(name)} was refused: HTTP {response.status_code} {response.reason_phrase}; "
                    "expected 200; check that the address opens in a browser"
                )
            encoding = response.headers.get("Content-Encoding", "")
            ways = [way for word in encoding.split(",") if (way := word.strip().lower()) in _UNPACKED | _TOO_FAR]
            if len(ways) > 1 or not _TOO_FAR.isdisjoint(ways):
                raise ImageError(
                    f"image {shown(name)} was sent compressed as {shown(encoding)}; expected it as it is; "
                    "download it yourself"
                )
            declared = response.headers.get("Content-Length", "")
            if declared.isdecimal() and int(declared) > max_bytes:
                raise _too_large(name, declared, max_bytes)
            for chunk in response.iter_bytes():
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(name, f"more than {max_bytes}", max_bytes)
                if stop.is_set():
                    break
                chunks.append(chunk)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ImportError, OSError) as error:
        # The last three: a proxy or certificates named in the environment that cannot be used.
        raise ImageError(
            f"image {shown(name)} cannot be downloaded: {without_credentials(reason(error))}; "
            "expected an image at this address; check it and the network"
        ) from error
    return b"".join(chunks)
