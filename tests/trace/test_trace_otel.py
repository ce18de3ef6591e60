import dataclasses
import json
import re
from datetime import datetime

import pytest
from runs import PLAN, recorded, script

from cot.errors import EngineError
from cot.trace.event import Measured
from cot.trace.otel import otlp_json
from cot.trace.read import read


def spans(trace, **options):
    (resource,) = otlp_json(trace, **options)["resourceSpans"]
    (scoped,) = resource["scopeSpans"]
    return scoped["spans"]


def attributes(span):
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def test_one_agent_over_its_calls_and_tools(tmp_path):
    root, *children = spans(read(recorded(tmp_path)))
    assert [span["name"] for span in (root, *children)] == [
        "invoke_agent cot", "plan cot", "chat scripted", "chat scripted", "execute_tool calculate",
    ]  # fmt: skip
    assert "parentSpanId" not in root
    assert {span["parentSpanId"] for span in children} == {root["spanId"]}
    assert len({span["spanId"] for span in (root, *children)}) == 5
    for span in (root, *children):
        assert span["traceId"] == root["traceId"]
        assert int(root["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    found = attributes(children[1])
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.request.model"] == "scripted"
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.cache_read.input_tokens"]) == ("50", "10")
    assert found["gen_ai.usage.output_tokens"] == "1"
    assert found["gen_ai.response.finish_reasons"] == {"values": [{"stringValue": "stop"}]}
    assert found["cot.step"] == "sub_question 1"
    assert attributes(root)["cot.stop_reason"] == "answered"


def test_a_run_has_its_ids_wherever_it_is_read_from(tmp_path, monkeypatch):
    ids = []
    for _ in range(2):
        folder = recorded(tmp_path).parent
        ids.append(spans(read(folder))[0]["traceId"])
        monkeypatch.chdir(folder)
        ids.append(spans(read("."))[0]["traceId"])
    assert ids == [ids[0], ids[0], ids[2], ids[2]]
    assert ids[0] != ids[2]
    assert read(".").name == folder.name


def test_when_a_run_began_is_told_to_the_millisecond(tmp_path):
    trace = read(recorded(tmp_path))
    began = trace.started.measured.started_at
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}\+00:00", began)
    shown = int(spans(trace)[0]["startTimeUnixNano"])
    assert shown == pytest.approx(datetime.fromisoformat(began).timestamp() * 1e9, abs=1e5)


def test_a_server_is_told_from_a_model_here(tmp_path):
    trace = read(recorded(tmp_path))
    started = trace.started
    for device, provider in (("cpu", "transformers"), ("https://host:8000/v1", "openai_compatible")):
        events = (started.model_copy(update={"engine": started.engine | {"device": device}}), *trace.events[1:])
        root, *_ = spans(dataclasses.replace(trace, events=events))
        assert attributes(root)["gen_ai.provider.name"] == provider


def test_times_are_such_as_the_protocol_can_hold(tmp_path):
    trace = read(recorded(tmp_path))
    measured = Measured(at_seconds=1e12, seconds={"queue": -1e12}, started_at="9999-12-31T23:59:59+00:00")
    odd = dataclasses.replace(trace, events=tuple(e.model_copy(update={"measured": measured}) for e in trace.events))
    for span in spans(odd):
        assert 0 <= int(span["startTimeUnixNano"]) < 2**63
        assert 0 <= int(span["endTimeUnixNano"]) < 2**63


def test_errors_have_a_type(tmp_path):
    root, plan = spans(read(recorded(tmp_path, script(plan=EngineError("the model is gone")))))
    assert attributes(root)["error.type"] == attributes(plan)["error.type"] == "error"
    assert root["status"] == {"code": 2, "message": "error"}


def test_content_is_there_only_when_asked_for(tmp_path):
    trace = read(recorded(tmp_path))
    without = json.dumps(otlp_json(trace))
    assert "apples" not in without
    assert "#1 > #2" not in without
    _, plan, *_ = spans(trace, content=True)
    (said,) = json.loads(attributes(plan)["gen_ai.output.messages"])
    assert said == {"role": "assistant", "parts": [{"type": "text", "content": PLAN}], "finish_reason": "stop"}
    assert "apples" not in json.dumps(otlp_json(trace.redacted(frozenset({"all"})), content=True))


def test_the_same_trace_gives_the_same_spans(tmp_path):
    path = recorded(tmp_path)
    assert otlp_json(read(path)) == otlp_json(read(path))


def test_a_torn_and_an_empty_trace_have_spans(tmp_path):
    path = recorded(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert attributes(spans(read(path))[0])["error.type"] == "unfinished"
    path.write_bytes(b"")
    assert len(spans(read(path))) == 1


VALUES = {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": float, "arrayValue": dict}


def test_the_shape_is_that_of_the_protocol(tmp_path):
    for span in spans(read(recorded(tmp_path)), content=True):
        assert set(span) <= {
            "traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
            "status",
        }  # fmt: skip
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
        assert span["kind"] in (1, 3)
        assert span["startTimeUnixNano"].isdecimal()
        keys = [item["key"] for item in span["attributes"]]
        assert len(set(keys)) == len(keys)
        for item in span["attributes"]:
            ((kind, value),) = item["value"].items()
            assert isinstance(value, VALUES[kind])


def test_the_protocols_own_parser_takes_it(tmp_path):
    json_format = pytest.importorskip("google.protobuf.json_format")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    trace = read(recorded(tmp_path))
    message = json_format.ParseDict(otlp_json(trace, content=True), service.ExportTraceServiceRequest())
    assert len(message.resource_spans[0].scope_spans[0].spans) == 5
