"""Real HTTP servers in threads: `serve` runs any handler, `Model` plays a well-behaved model behind one."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from cot.engine import Message, Request
from cot.engine.remote import Limits
from cot.image import LoadedImage


@dataclass
class Asked:
    """One request that a server got. body: its JSON, None if there was none."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Wire:
    """What a handler answers with: whole replies, or raw bytes."""

    def __init__(self, connection: socket.socket):
        self._connection = connection

    def raw(self, data: bytes) -> None:
        self._connection.sendall(data)

    def head(self, status: int = 200, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status} Status", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send(self, body: bytes | str, status: int = 200, **headers: object) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.head(status, Content_Length=len(data), **headers)
        self.raw(data)

    def json(self, value: Any, status: int = 200, **headers: object) -> None:
        self.send(json.dumps(value), status, Content_Type="application/json", **headers)

    def events(self, *values: Any, done: bool = True) -> None:
        self.head(Content_Type="text/event-stream")
        for value in values:
            self.raw(f"data: {json.dumps(value)}\n\n".encode())
        if done:
            self.raw(b"data: [DONE]\n\n")


Handler = Callable[[Asked, Wire], None]


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with `handler`, on a connection of its own."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, handler: Handler):
        self.handler = handler
        self.asked: list[Asked] = []
        self.gone = threading.Event()
        """Set once a client has hung up before its answer was whole."""
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def bodies(self) -> list[Any]:
        """Of the chat completions that were asked for."""
        return [asked.body for asked in self.asked if asked.path.endswith("/chat/completions")]


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Server)
        method, path, _ = self.rfile.readline().decode().split(" ", 2)
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        data = self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(method, path, headers, json.loads(data) if data else None)
        self.server.asked.append(asked)
        try:
            self.server.handler(asked, Wire(self.connection))
        except OSError:
            self.server.gone.set()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Server]]:
    """Runs a handler until the test is over."""
    servers: list[tuple[Server, threading.Thread]] = []

    def start(handler: Handler) -> Server:
        server = Server(handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Model:
    """A handler that plays a server of one kind: it answers with `text`, whatever is asked.

    refuses: fields that are answered with HTTP 422. top: what stands in place of each token's alternatives. Greets with
    its model list and its own pages.
    """

    text: str | Callable[[Any], str] = "two cats"
    owner: str = "someone"
    models: tuple[str, ...] = ("tiny",)
    pages: dict[str, Any] = field(default_factory=dict)
    refuses: tuple[str, ...] = ()
    logprobs: bool = True
    top: Any = None
    finish: str = "stop"

    def __call__(self, asked: Asked, wire: Wire) -> None:
        if asked.path == "/v1/models":
            cards = [{"id": name, "object": "model", "owned_by": self.owner} for name in self.models]
            wire.json({"object": "list", "data": cards})
        elif asked.path in self.pages:
            wire.json(self.pages[asked.path])
        elif asked.path != "/v1/chat/completions":
            wire.json({"detail": "Not Found"}, 404)
        elif refused := [name for name in self.refuses if name in asked.body]:
            wire.json({"detail": f"Unexpected fields in the request: {set(refused)}"}, 422)
        elif asked.body.get("stream"):
            wire.events(*self.chunks(asked.body))
        else:
            wire.json(self.reply(asked.body))

    def reply(self, body: Any) -> dict[str, Any]:
        text = self.text(body) if callable(self.text) else self.text
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": self.finish,
                "logprobs": self._logprobs(text, body) if body.get("logprobs") else None,
            }
            for index in range(body.get("n", 1))
        ]
        return {"id": "1", "object": "chat.completion", "choices": choices, "usage": self.usage}

    def chunks(self, body: Any) -> list[dict[str, Any]]:
        reply = self.reply(body)
        found = []
        for choice in reply["choices"]:
            text = choice["message"]["content"]
            for piece in (text[at : at + 3] for at in range(0, len(text), 3)):
                logprobs = self._logprobs(piece, body) if body.get("logprobs") else None
                found.append({"index": choice["index"], "delta": {"content": piece}, "logprobs": logprobs})
            found.append({"index": choice["index"], "delta": {}, "finish_reason": self.finish})
        chunks: list[dict[str, Any]] = [{"choices": [choice], "usage": None} for choice in found]
        if body.get("stream_options"):
            chunks.append({"choices": [], "usage": self.usage})
        return chunks

    @property
    def usage(self) -> dict[str, Any]:
        return {"prompt_tokens": 20, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 16}}

    def _logprobs(self, text: str, body: Any) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
        content: list[dict[str, Any]] = [{"token": piece, "logprob": -0.5} for piece in pieces]
        for token in content if "top_logprobs" in body else ():
            others = [{"token": letter, "logprob": -1.0 - place} for place, letter in enumerate("abcde")]
            token["top_logprobs"] = self.top or [dict(token), *others][: body["top_logprobs"]]
        return {"content": content}


@pytest.fixture
def model() -> type[Model]:
    return Model


@pytest.fixture
def quick() -> Callable[..., Limits]:
    """Limits with which nothing takes long."""

    def make(**changed: Any) -> Limits:
        return Limits(**{"timeout_seconds": 5.0, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.05} | changed)

    return make


@pytest.fixture
def picture() -> LoadedImage:
    return LoadedImage(Image.new("RGB", (4, 3), "red"), sha256="red4x3", source="red")


@pytest.fixture
def ask(picture: LoadedImage) -> Callable[..., Request]:
    """Makes requests of one user message; without content, one about a red image."""

    def make(*content: str | LoadedImage, max_tokens: int = 12, **settings: Any) -> Request:
        return Request((Message("user", content or (picture, "how many cats")),), max_tokens, **settings)

    return make
