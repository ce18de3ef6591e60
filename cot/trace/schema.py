"""The format of `trace.jsonl` as a JSON Schema, for programs that are not this one.

In: the events. Out: a schema of one line of the file; `docs/trace.schema.json` is what it gives.
"""

from typing import Any

from pydantic import TypeAdapter

from cot.trace.event import SCHEMA, Event


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one line of a trace."""
    schema = TypeAdapter(Event).json_schema()
    for definition in schema["$defs"].values():
        properties = definition.get("properties", {})
        if "event" in properties:
            definition["properties"] = {"schema": {"const": SCHEMA, "type": "integer"}, **properties}
            definition["required"] = ["schema", *definition.get("required", []), "event"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One line of a cot trace, format {SCHEMA}",
        **schema,
    }
