"""A trace as OpenTelemetry spans, in OTLP/JSON.

In: a trace. Out: the JSON object that OTLP's HTTP endpoint `/v1/traces` and file readers take. One span
`invoke_agent` holds a span for each call to the model (`plan` or `chat`) and each use of a tool (`execute_tool`).

Names are those of the OpenTelemetry semantic conventions 1.41.0 for generative AI, which are in development,
with the operation `plan` of the repository in which they go on (open-telemetry/semantic-conventions-genai). They
are spelt out here, since the constants in Python's packages come and go. What the conventions have no name for
begins with `cot.`. Questions, prompts and replies are left out unless they are asked for.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

from cot import __version__
from cot.step import FinalAnswer, ToolUse
from cot.trace.event import Call, RunStarted, StepTaken
from cot.trace.plain import show_value
from cot.trace.read import Trace
from cot.trace.tree import call_start_seconds

SPEC_VERSION: Final = "1.41.0"
"""Of the semantic conventions."""

SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{SPEC_VERSION}"
"""Names them in the file."""

_INTERNAL, _CLIENT = 1, 3
_ERROR = 2
_LATEST = 2**63 - 1
"""Nanoseconds that the protocol can hold."""


def otlp_json(trace: Trace, *, content: bool = False) -> dict[str, Any]:
    """The trace as an OTLP `ExportTraceServiceRequest`, as JSON values.

    content: whether questions, prompts, replies, arguments and results go along. Ids are made from the run's name and
    the lines' numbers, so that the same trace gives the same spans.
    """
    spans = [_root(trace, content)]
    for event in trace.events:
        if isinstance(event, Call):
            spans.append(_call(trace, event, content))
        elif isinstance(event, StepTaken) and isinstance(event.step, ToolUse):
            spans.append(_tool(trace, event, event.step, content))
    resource = {"attributes": _attributes({"service.name": "cot", "service.version": _version(trace)})}
    scope = {"name": "cot.trace", "version": __version__}
    scoped = {"scope": scope, "spans": spans, "schemaUrl": SCHEMA_URL}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scoped], "schemaUrl": SCHEMA_URL}]}


def _root(trace: Trace, content: bool) -> dict[str, Any]:
    started, finished = trace.started, trace.finished
    stop_reason = finished.stop_reason if finished else "unfinished"
    answer = finished.answer if finished else None
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "cot",
        "gen_ai.agent.version": _version(trace),
        **_model(trace),
        "gen_ai.request.seed": started.seed if started else None,
        "cot.strategy": started.strategy if started else None,
        "cot.stop_reason": stop_reason,
        # 0 where the engine gives no probabilities.
        "cot.confidence": (answer.confidence or None) if answer else None,
        **(_usage(finished.measured.usage) if finished else {}),
    }
    if content and started is not None:
        attributes["gen_ai.input.messages"] = _message("user", started.question)
        attributes["gen_ai.output.messages"] = _said(answer)
    failed = None if stop_reason == "answered" else stop_reason
    start = started.measured.at_seconds if started else 0.0
    end = max((event.measured.at_seconds for event in trace.events), default=0.0)
    return _span(trace, "invoke_agent cot", "root", _INTERNAL, (start, end), attributes, failed)


def _call(trace: Trace, call: Call, content: bool) -> dict[str, Any]:
    planning = call.step == "plan"
    model = _model(trace)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "plan" if planning else "chat",
        **model,
        "gen_ai.request.max_tokens": call.max_tokens,
        "gen_ai.response.finish_reasons": [call.finish_reason] if call.finish_reason else None,
        **_usage(call.measured.usage),
        "cot.step": call.step,
        "cot.template.name": call.template,
        "cot.template.sha256": call.template_sha256,
        "cot.prompt.sha256": call.prompt_sha256 or None,
        "cot.confidence": call.confidence,
        **{f"cot.{name}_seconds": seconds for name, seconds in call.measured.seconds.items()},
    }
    if content:
        attributes["gen_ai.input.messages"] = _message("user", call.prompt)
        attributes["gen_ai.output.messages"] = _message("assistant", call.raw, call.finish_reason)
        attributes["cot.problem"] = call.problem
    failed = None if call.problem is None else "error" if call.raw is None else "unparsed"
    begun = trace.started.measured.at_seconds if trace.started else 0.0
    times = (max(begun, call_start_seconds(call)), call.measured.at_seconds)
    name = "plan cot" if planning else f"chat {model['gen_ai.request.model']}"
    return _span(trace, name, str(call.seq), _INTERNAL if planning else _CLIENT, times, attributes, failed)


def _tool(trace: Trace, event: StepTaken, tool: ToolUse, content: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool.name, "gen_ai.tool.type": "function",
    }  # fmt: skip
    if content:
        attributes["gen_ai.tool.call.arguments"] = json.dumps(tool.arguments)
        attributes["gen_ai.tool.call.result"] = show_value(tool.result)
    at = event.measured.at_seconds
    return _span(trace, f"execute_tool {tool.name}", str(event.seq), _INTERNAL, (at, at), attributes, None)


def _span(
    trace: Trace, name: str, key: str, kind: int, times: tuple[float, float], attributes: dict[str, Any],
    failed: str | None,
) -> dict[str, Any]:  # fmt: skip
    run = trace.name
    opened = _opened(trace)
    start, end = (str(min(max(0, round((opened + seconds) * 1e9)), _LATEST)) for seconds in times)
    span: dict[str, Any] = {
        "traceId": _id(run, 32), "spanId": _id(f"{run}/{key}", 16), "name": name, "kind": kind,
        "startTimeUnixNano": start, "endTimeUnixNano": end,
        "attributes": _attributes(attributes | {"error.type": failed}),
    }  # fmt: skip
    if key != "root":
        span["parentSpanId"] = _id(f"{run}/root", 16)
    if failed is not None:
        span["status"] = {"code": _ERROR, "message": failed}
    return span


def _opened(trace: Trace) -> float:
    """When the trace was opened, seconds since 1970; 0 if it does not say."""
    started = trace.started
    try:
        when = datetime.fromisoformat((started.measured.started_at if started else None) or "")
    except ValueError:
        return 0.0
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return seconds - (started.measured.at_seconds if started else 0.0)


def _model(trace: Trace) -> dict[str, Any]:
    started = trace.started or RunStarted(question="", images=(), strategy="", seed=0)
    model = str(started.engine.get("model", ""))
    # A server's address stands where a local model has its device.
    server = str(started.engine.get("device", "")).lower().startswith(("http://", "https://"))
    return {"gen_ai.provider.name": "openai_compatible" if server else "transformers", "gen_ai.request.model": model}


def _usage(usage: dict[str, int]) -> dict[str, Any]:
    return {
        "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
        "gen_ai.usage.cache_read.input_tokens": usage.get("cached_tokens"),
        "cot.usage.image_tokens": usage.get("image_tokens"),
    }


def _version(trace: Trace) -> str:
    return trace.started.versions.get("cot", "") if trace.started else ""


def _said(answer: FinalAnswer | None) -> str | None:
    return None if answer is None else _message("assistant", answer.text, "stop")


def _message(role: str, text: str | None, finish_reason: str | None = None) -> str | None:
    if text is None:
        return None
    ended = {"finish_reason": finish_reason} if finish_reason else {}
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}], **ended}])


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    """An OTLP `AnyValue`; whole numbers are text there, since JSON's may lose digits."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}


def _id(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:digits]
