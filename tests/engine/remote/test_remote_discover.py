"""What a URL may say, where a key comes from, and what a server is found to be."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cot.engine.remote import Limits, RemoteEngine
from cot.engine.remote.address import Address, parse_address, read_key
from cot.errors import EngineError

Serve = Callable[[Any], Any]
Quick = Callable[..., Limits]


@pytest.mark.parametrize(
    ("url", "base", "root", "model"),
    [
        ("http://host:8000/v1", "http://host:8000/v1", "http://host:8000", None),
        ("http://host:8000", "http://host:8000/v1", "http://host:8000", None),
        ("https://Host/v1/#Qwen/Qwen2.5-VL", "https://host/v1", "https://host", "Qwen/Qwen2.5-VL"),
        ("http://[::1]:80/a/v1", "http://[::1]:80/a/v1", "http://[::1]:80/a", None),
        ("https://host/openai#/path with blanks", "https://host/openai", "https://host/openai", "/path with blanks"),
    ],
)
def test_urls(url: str, base: str, root: str, model: str | None) -> None:
    address = parse_address(url)
    assert (address.base, address.root, address.model) == (base, root, model)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://host/v1", "no http or https"),
        ("file:///etc/passwd", "no http or https"),
        ("http:///v1", "has no host"),
        ("http://", "has no host"),
        ("https://#name", "has no host"),
        ("host:8000/v1", "no http or https"),
        ("", "no http or https"),
        ("http://host:99999/v1", "is not a URL"),
        ("http://[::1/v1", "is not a URL"),
        ("http://192.168.1.300:8000/v1", "is not a URL: Invalid IPv4"),
        ("http://ü..de/v1", "is not a URL"),
        ("http://host /v1", "blanks or control"),
        ("http://host/v1\r\nX: y", "blanks or control"),
        ("http://me:hunter2@host/v1", "user name, a password or a query"),
        ("http://hunter2@host/v1", "user name, a password or a query"),
        ("http://host/v1?key=hunter2", "user name, a password or a query"),
        ("http://me:hunter2@host:99999/v1?key=hunter2#hunter2", "is not a URL"),
        ("ftp://me:hunter2@host/v1?key=hunter2", "no http or https"),
    ],
)
def test_bad_urls(url: str, problem: str) -> None:
    with pytest.raises(EngineError, match=problem) as caught:
        parse_address(url)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_key_goes_only_where_it_belongs() -> None:
    both = {"COT_API_KEY": "ours", "OPENAI_API_KEY": "theirs"}
    openai, other = parse_address("https://api.openai.com/v1"), parse_address("https://host/v1")
    assert read_key(openai, environment={"OPENAI_API_KEY": "theirs"}).value == "theirs"
    assert read_key(openai, environment=both).value == "ours"
    assert read_key(parse_address("http://api.openai.com/v1"), environment={"OPENAI_API_KEY": "theirs"}).value is None
    assert read_key(other, environment={"OPENAI_API_KEY": "theirs"}).value is None
    assert read_key(other, "OPENAI_API_KEY", environment=both).value == "theirs"
    assert read_key(other, environment={"COT_API_KEY": "  "}).value is None
    assert "ours" not in repr(read_key(other, environment=both))
    for odd in ("hunter2\r\nX-Evil: 1", "hünter2", "hunter 2"):
        with pytest.raises(EngineError, match="the key in COT_API_KEY has characters") as caught:
            read_key(other, environment={"COT_API_KEY": odd})
        assert "nter" not in str(caught.value)


@pytest.mark.parametrize(
    ("owner", "pages", "server"),
    [
        ("vllm", {"/version": {"version": "0.12.1"}}, "vllm 0.12.1"),
        ("vllm", {"/version": ["?"]}, "vllm"),
        ("sglang", {}, "sglang"),
        ("llamacpp", {"/props": {"build_info": "b8", "default_generation_settings": {"n_ctx": 4096}}}, "llamacpp b8"),
        ("library", {"/api/version": {"version": "0.13"}}, "ollama 0.13"),
        ("somebody", {"/api/version": {"version": "0.13"}}, "ollama 0.13"),
        ("somebody", {}, "openai"),
        ("somebody", {"/api/version": {"version": "1\u001b[2J2"}}, "ollama 12"),
    ],
)
async def test_kinds_of_servers(
    serve: Serve, model: Any, quick: Quick, owner: str, pages: dict[str, Any], server: str
) -> None:
    engine = await RemoteEngine.connect(serve(model(owner=owner, pages=pages)).url, limits=quick())
    assert engine.info.versions["server"] == server
    assert engine.info.context_tokens == (4096 if owner == "llamacpp" else 0)
    await engine.close()


async def test_a_dialect_can_be_named(serve: Serve, model: Any, quick: Quick) -> None:
    url = serve(model()).url
    engine = await RemoteEngine.connect(url, dialect="sglang", limits=quick())
    assert engine.info.versions["server"] == "sglang"
    await engine.close()
    with pytest.raises(EngineError, match="unknown dialect 'tgi'; known: auto, openai"):
        await RemoteEngine.connect(url, dialect="tgi", limits=quick())  # type: ignore[arg-type]


async def test_which_model(serve: Serve, model: Any, quick: Quick) -> None:
    several = serve(model(models=("one", "two\u001b[31m"))).url
    with pytest.raises(
        EngineError, match=f"serves one, two; expected one model, or the name of one; name it as {several}#one"
    ):
        await RemoteEngine.connect(several, limits=quick())
    with pytest.raises(EngineError, match="serves no model"):
        await RemoteEngine.connect(serve(model(models=())).url, limits=quick())
    for url, name in ((f"{several}#one", None), (several, "one"), (f"{several}#two", "one")):
        engine = await RemoteEngine.connect(url, name, limits=quick())
        assert engine.info.model == "one"
        await engine.close()
    unlisted = await RemoteEngine.connect(f"{several}#/some/folder", limits=quick())
    assert unlisted.info.model == "/some/folder"
    await unlisted.close()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (
            500,
            "",
            r"list of models at \S+/v1/models could not be read \(HTTP 500\); .* behind a #, \S+/v1#NAME",
        ),
        (503, '{"error": "loading"}', r"could not be read \(HTTP 503: loading\)"),
        (404, "", "expected a model it serves and a URL that ends in /v1"),
        (401, "", "expected a valid key; set COT_API_KEY"),
        (200, "<html>", "sent no list of models"),
        (200, json.dumps({"data": [{"id": 5}]}), "sent no list of models"),
        (200, json.dumps({"data": None}), "serves no model"),
    ],
)
async def test_no_list_of_models(serve: Serve, model: Any, quick: Quick, status: int, body: str, problem: str) -> None:
    server = serve(lambda asked, wire: wire.send(body, status))
    with pytest.raises(EngineError, match=problem):
        await RemoteEngine.connect(server.url, limits=quick())
    if status != 401:
        engine = await RemoteEngine.connect(f"{server.url}#tiny", limits=quick())
        assert engine.info.model == "tiny"
        await engine.close()


def test_an_address_has_no_secrets() -> None:
    assert set(Address.__dataclass_fields__) == {"base", "root", "host", "model"}
