import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cot.trace.ends import ends, event, may_hold


@pytest.mark.parametrize("width", [0, 1, 900, 1020, 1023, 1024, 1025, 4000, 4096, 5000, 20_000])
@pytest.mark.parametrize("torn", [b"", b"torn", b"t" * 3000])
def test_both_ends_are_whole_lines_whatever_their_length(tmp_path, width, torn):
    path = tmp_path / "trace.jsonl"
    lines = [b"a" * width, b"b", b"c" * (width // 2), b"d" * width]
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn)
    assert ends(str(path)) == (lines[0], lines[-1])
    path.write_bytes(lines[0] + b"\n" + torn)
    assert ends(str(path)) == (lines[0], lines[0])
    path.write_bytes(lines[0])
    assert ends(str(path)) == (lines[0], b"")


@given(st.text(), st.text(min_size=1), st.booleans())
def test_what_a_line_holds_is_never_passed_over(text, wanted, ascii_only):
    wanted = wanted.replace("\n", "").encode("utf-8", "replace").decode()
    for said in (text + wanted, wanted.upper() + text, wanted.swapcase()):
        if wanted.casefold() in said.casefold():
            line = json.dumps({"question": said}, ensure_ascii=ascii_only).encode("utf-8", "replace")
            assert may_hold(line, wanted.casefold().encode())


def test_a_line_without_the_text_is_passed_over():
    assert not may_hold(b'{"question": "How many apples?"}', b"cars")
    assert may_hold(b'{"question": "How many Apples?"}', b"apples")


@pytest.mark.parametrize("line", [b"", b"[" * 100_000, b'{"schema": 99}', b"3", b"\xff", b'{"schema": 1'])
def test_what_is_no_event_has_no_fields(line):
    assert event(line) == {}


@pytest.mark.parametrize("text", ["狗 \u2028", "\ud800", 'a\\b"c\n'])
def test_an_event_is_read_as_the_reader_does(text):
    line = json.dumps({"schema": 1, "event": "note", "text": text}).encode()
    assert event(line) == json.loads(line)
