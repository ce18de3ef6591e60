"""Writes a conversation to a file for people (Markdown, HTML) or programs (JSON).

In: a conversation. Out: a new file. Text from a model stays text: control characters are written out, and Markdown's
own marks are escaped. The HTML needs no other file, runs no script and loads nothing.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cot.chat.conversation import Conversation
from cot.chat.turn import Turn
from cot.errors import UsageError
from cot.image import LoadedImage
from cot.source import shown
from cot.trace.event import TracedImage
from cot.trace.page import data_url, render_page
from cot.trace.plain import escaped
from cot.trace.show import percent, step_line


def export(conversation: Conversation, path: Path, *, name: str, images: Mapping[str, LoadedImage]) -> None:
    """Write it. images: by SHA-256, for HTML.

    Raises UsageError for another ending, a file that exists, or one that cannot be written.
    """
    match path.suffix.lower():
        case ".md":
            text = as_markdown(conversation, name)
        case ".json":
            text = json.dumps(as_json(conversation, name), indent=1)
        case ".html":
            text = as_html(conversation, name, images)
        case _:
            raise UsageError(f"got {shown(str(path))}; expected a name that ends with .md, .json or .html")
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(f"{shown(str(path))} exists already; choose another name, or remove it first") from error
    except (OSError, ValueError) as error:
        # ValueError: a name with a zero byte.
        raise _unwritable(path, error) from error
    try:
        with file:
            file.write(f"{text}\n")
    except OSError as error:
        # Half a file would pass for the conversation, and keep the next try from its name.
        with contextlib.suppress(OSError):
            path.unlink()
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> UsageError:
    why = getattr(error, "strerror", None) or error
    return UsageError(f"cannot write {shown(str(path))}: {why}; choose another place")


def as_json(conversation: Conversation, name: str) -> dict[str, Any]:
    """The whole conversation as plain values."""
    images = [image.model_dump(mode="json") for image in conversation.images]
    return {"name": name, "images": images, "turns": [turn.as_json() for turn in conversation.turns]}


def as_markdown(conversation: Conversation, name: str) -> str:
    """The whole conversation for people."""
    lines = [f"# {_text(name)}"]
    for part in conversation.in_order():
        lines += ["", *(_turn(part) if isinstance(part, Turn) else _images(part))]
    return "\n".join(lines)


def as_html(conversation: Conversation, name: str, images: Mapping[str, LoadedImage]) -> str:
    """The whole conversation as a page of its own, with those of its images that are given."""
    pictures = [(one, images[one.sha256]) for one in conversation.every_image.values() if one.sha256 in images]
    page = render_page(
        "chat.html.jinja",
        script="",
        name=name,
        pictures=[(image, data_url(opened)) for image, opened in pictures],
        parts=[
            ("turn", part, [step_line(step).plain for step in part.steps], _cost(part))
            if isinstance(part, Turn)
            else ("images", part, [], "")
            for part in conversation.in_order()
        ],
    )
    return page.rstrip("\n")


def _images(images: tuple[TracedImage, ...]) -> list[str]:
    listed = (f"- \\[{n}\\] {_text(one.source)} ({one.width} x {one.height})" for n, one in enumerate(images, 1))
    return ["images from here on:", "", *listed] if images else ["images from here on: none"]


def _turn(turn: Turn) -> list[str]:
    lines = [f"## {_text(turn.question)}", ""]
    lines += [f"- {_text(step_line(step).plain)}" for step in turn.steps if step.kind != "final_answer"]
    answer = _text(turn.answer.text) if turn.answer else "none"
    sure = f" {percent(turn.answer.confidence)}" if turn.answer and turn.answer.confidence else ""
    lines += ["", f"**{answer}**{sure}" if turn.answered else f"{answer}{sure} ({turn.stop_reason})"]
    lines += [f"\nnote: {_text(note)}" for note in turn.notes]
    return [*lines, "", _text(_cost(turn))]


def _cost(turn: Turn) -> str:
    tokens = turn.usage.get("completion_tokens", 0)
    return f"{turn.model.get('name')}, {turn.strategy}, {tokens} tokens, {turn.seconds:.2f} s"


def _text(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", " ".join(escaped(text).split()))
