import http.server
import json
import sys
import threading

import pytest
from runs import recorded

import cot.cli
from cot.errors import TraceError
from cot.trace.otel import otlp_json
from cot.trace.otel_send import MAX_REPLY_BYTES, send
from cot.trace.read import read

TAKEN = (200, b"{}")


class Collector(http.server.ThreadingHTTPServer):
    """Answers every POST with `reply`, and keeps path, headers and body."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = TAKEN
        self.got = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), json.loads(body)))
        status, said = self.server.reply
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
def test_spans_arrive_where_the_protocol_wants_them(collector, tmp_path, path):
    trace = read(recorded(tmp_path))
    send(otlp_json(trace), collector.url + path, environment={})
    ((where, headers, body),) = collector.got
    assert (where, headers["Content-Type"], body) == ("/v1/traces", "application/json", otlp_json(trace))


def test_a_prefix_of_the_address_and_headers_of_the_environment(collector):
    environment = {
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc==, x-one=1",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-one=2",
    }
    send({}, f"{collector.url}/api/otel?project=3", environment=environment)
    ((where, headers, _),) = collector.got
    assert where == "/api/otel/v1/traces?project=3"
    assert (headers["Authorization"], headers["x-one"]) == ("Basic abc==", "2")


def test_a_number_of_spans_that_is_none_says_nothing(collector):
    collector.reply = (200, b'{"partialSuccess": {"rejectedSpans": 1e999}}')
    send({}, collector.url, environment={})
    assert len(collector.got) == 1


@pytest.mark.parametrize("headers", ["secret", "a=b,secret", "=secret", "a=secret%0d%0ab: c", "sécret=1"])
def test_what_is_no_header_is_refused_without_being_shown(collector, headers):
    with pytest.raises(TraceError, match="OTEL_EXPORTER_OTLP_HEADERS is not made of headers") as caught:
        send({}, collector.url, environment={"OTEL_EXPORTER_OTLP_HEADERS": headers})
    assert "secret" not in str(caught.value)
    assert not collector.got


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((401, b"who \x1b[31mare you?"), "HTTP 401 who are you?"),
        ((404, b""), "HTTP 404"),
        ((302, b""), "HTTP 302"),
        ((500, b"x" * 10 * MAX_REPLY_BYTES), "HTTP 500 xxx"),
        ((200, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'), "rejected spans: 2, too old"),
    ],
)
def test_spans_that_are_not_taken_are_an_error(collector, reply, reason):
    collector.reply = reply
    with pytest.raises(TraceError) as caught:
        send({}, f"{collector.url}/?key=secret", environment={})
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "secret" not in str(caught.value)
    assert len(collector.got) == 1


@pytest.mark.parametrize(
    "said", [b"", b"yes", b"[]", b'{"partialSuccess": {}}', b'{"partialSuccess": 3}', b"[" * 10**5]
)
def test_a_yes_is_a_yes_whatever_else_is_said(collector, said):
    collector.reply = (200, said)
    send({}, collector.url, environment={})
    assert len(collector.got) == 1


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "http://", "http://[", "http://127.0.0.1:99999", "http://a b/"]
)
def test_nobody_there(address):
    with pytest.raises(TraceError, match="cannot send spans to '.*expected a collector") as caught:
        send({}, address, environment={})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5h://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_told(collector, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(TraceError, match="a proxy named in the environment cannot be used"):
        send({}, collector.url, environment={})


def test_certificates_that_there_are_not_are_told(collector, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    with pytest.raises(TraceError, match="cannot send spans to '.*': FileNotFoundError"):
        send({}, collector.url, environment={})


def test_the_command_sends_without_words_unless_it_is_told(collector, tmp_path, capfd):
    path = recorded(tmp_path)
    for content in ((), ("--content",)):
        assert cot.cli.main(["trace", "export", str(path), "--otel", collector.url, *content]) == 0
    assert capfd.readouterr() == ("", f"sent spans to {collector.url}\n" * 2)
    without, with_words = (json.dumps(body) for _, _, body in collector.got)
    assert "apples" not in without
    assert "apples" in with_words
    collector.reply = (503, b"later")
    assert cot.cli.main(["trace", "export", str(path), "--otel", collector.url]) == 1
    assert "HTTP 503 later" in capfd.readouterr().err
