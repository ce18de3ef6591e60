"""Shows steps and whole traces to people, in a terminal.

In: steps, or a trace. Out: rich renderables. All text is taken as hostile: it is stripped of control
sequences by `plain`, and never read as markup.
"""

import math
from collections.abc import Mapping
from typing import Final

from rich.text import Text
from rich.tree import Tree

from cot.step import FinalAnswer, Reasoning, Step, SubAnswer, SubQuestion, Summary, ToolUse
from cot.trace.event import Call, Note, RunFinished, RunStarted, StepTaken, TracedImage
from cot.trace.plain import MAX_SHOWN_CHARACTERS, plain, show_value
from cot.trace.read import MAX_LINE_BYTES, Trace
from cot.trace.redact import in_words, left_out

SHOWN_LINES: Final = 4
"""Lines of a prompt that are shown if it is not to be whole."""

# These two can be read on white as on black; yellow, green and cyan cannot.
NUMBER: Final = "magenta"
PROBLEM: Final = "red"

WHOLE: Final = MAX_LINE_BYTES
"""No text of a trace is longer."""


def percent(confidence: float) -> str:
    """A probability for people: 0.973 is "97%"; what is not quite certain is never "100%"."""
    return f"{min(confidence * 100, 99.9):.1f}%" if 0.995 <= confidence < 1 else f"{confidence:.0%}"


def _sure(confidence: float) -> str:
    """How sure a step is, behind its text; nothing for 0, the confidence of an engine without probabilities."""
    return f"  {percent(confidence)}" if confidence else ""


def step_line(step: Step) -> Text:
    """A step on one line; of all but the answer the beginning, where it is very long."""
    match step:
        case SubQuestion():
            return Text.assemble((f"#{step.id} ", NUMBER), _line(step.text), (f"  {step.wants}", "dim"))
        case SubAnswer(value=None):
            why = _line(step.problem or "")
            return Text.assemble((f"#{step.to} ", NUMBER), ("unknown", PROBLEM), (f"  {why}", "dim"))
        case SubAnswer():
            shown = _line(show_value(step.value))
            return Text.assemble((f"#{step.to} ", NUMBER), (shown, "bold"), (_sure(step.confidence), "dim"))
        case Reasoning():
            return Text(_line(step.text))
        case ToolUse():
            return _tool(step)
        case Summary():
            return Text.assemble("summary: ", _line("; ".join(step.text.splitlines())))
        case FinalAnswer():
            shown = plain(step.text, one_line=True, most=WHOLE)
            return Text.assemble("answer: ", (shown, "bold"), (_sure(step.confidence), "dim"))


def usage_line(usage: dict[str, int], seconds: float) -> str:
    """What a run cost, on one line."""
    get = usage.get
    calls, prompt, generated = get("calls", 0), get("prompt_tokens", 0), get("completion_tokens", 0)
    inside = f"{get('image_tokens', 0):,} of images, {get('cached_tokens', 0):,} cached"
    plural = "" if calls == 1 else "s"
    return f"{calls} call{plural}, {prompt:,} prompt tokens ({inside}), {generated:,} generated, {seconds:.2f} s"


def trace_tree(trace: Trace, *, full: bool = False) -> Tree:
    """A whole trace: what was asked, each call with its prompt and its raw text, each step, and the end.

    full: settings and versions too, prompts and replies uncut, and the probability of each token.
    """
    tree = Tree(Text(f"trace {plain(str(trace.path), one_line=True)}", "bold"), guide_style="dim")
    for event in trace.events:
        match event:
            case RunStarted():
                _add_start(tree, event, full=full)
            case Call():
                _add_call(tree, event, full=full)
            case StepTaken():
                tree.add(step_line(event.step))
            case Note():
                tree.add(Text.assemble(("note: ", PROBLEM), _line(event.text)))
            case RunFinished():
                seconds = event.measured.seconds.get("total", 0.0)
                cost = usage_line(event.measured.usage, seconds)
                tree.add(Text.assemble(("ended: ", "bold"), event.stop_reason, (f"  {cost}", "dim")))
    if trace.torn:
        tree.add(Text("the last line was cut short while it was written, and is left out", PROBLEM))
    if trace.finished is None:
        tree.add(Text("its end was not recorded: the run was killed, its disk was full, or it still goes on", PROBLEM))
    return tree


def _tool(step: ToolUse) -> Text:
    arguments = dict(step.arguments)
    what = show_value(arguments.pop("expression", ""))
    given = ", ".join(f"{name} = {show_value(value)}" for name, value in arguments.items())
    shown = _line(f"{step.name} {what}  ({given})")
    return Text.assemble(shown, " = ", (_line(show_value(step.result)), "bold"))


def _add_start(tree: Tree, event: RunStarted, *, full: bool) -> None:
    node = tree.add(Text.assemble(("question: ", "bold"), _line(event.question)))
    if event.choices:
        node.add(Text(f"choices: {_line(', '.join(event.choices))}"))
    for image in event.images:
        known_by = f"  sha256 {_line(image.sha256)[:16]}…" if image.sha256 else ""
        node.add(
            Text(f"image: {_line(image.source)}  {image.width} x {image.height}{before(image)}{known_by}{noted(image)}")
        )
    if without := left_out(event):
        node.add(Text(f"recorded without {in_words(without)}"))
    named = {"strategy": event.strategy, "seed": event.seed, **event.engine}
    node.add(Text(_line(", ".join(f"{name} {value}" for name, value in named.items() if value not in (None, "")))))
    if event.measured.started_at:
        node.add(Text(_line(event.measured.started_at), "dim"))
    if not full:
        return
    if event.templates:
        node.add(Text(_line(", ".join(f"{name} {sha256[:8]}" for name, sha256 in event.templates.items())), "dim"))
    # Examples are long, and stand in the prompts.
    settings = {**event.settings, **({"examples": "in the prompts"} if event.settings.get("examples") else {})}
    set_to = (f"{name} {value}" for name, value in settings.items() if value not in (None, ""))
    node.add(Text(_line(", ".join(set_to)), "dim"))
    node.add(Text(_line(", ".join(f"{name} {value}" for name, value in event.versions.items())), "dim"))


def _add_call(tree: Tree, event: Call, *, full: bool) -> None:
    most = WHOLE if full else MAX_SHOWN_CHARACTERS
    seconds = sum(event.measured.seconds.values())
    made = f"  {_line(event.template)} {_line(event.template_sha256)[:8]}, {len(event.tokens)} tokens, {seconds:.2f} s"
    node = tree.add(Text.assemble(("asked for ", "dim"), _line(event.step), (made, "dim")))
    node.add(Text(plain(event.prompt, most=most) if full else _beginning(event.prompt), "dim"))
    if event.constraint:
        node.add(Text(f"held to: {held_to(event.constraint, most=400 if full else 100)}", "dim"))
    if event.raw is not None:
        said = Text.assemble("said: ", (plain(event.raw, most=most), "italic"))
        node.add(said.append(f"  {percent(event.confidence)}", "dim") if event.confidence is not None else said)
    if full and event.tokens:
        node.add(Text(f"tokens: {', '.join(_token(*scored) for scored in event.scored_tokens)}", "dim"))
    if event.problem:
        node.add(Text.assemble(("problem: ", PROBLEM), _line(event.problem)))


def before(image: TracedImage) -> str:
    """What an image was in its file, where that is not what it is now; empty where it is, or where it is not known."""
    was = image.original
    if was is None or (was.mode, was.width, was.height) == ("RGB", image.width, image.height):
        return ""
    return f" (was {was.width} x {was.height} {plain(was.mode, one_line=True)[:16]})"


def noted(image: TracedImage) -> str:
    """What was done to an image on opening, behind a comma; empty for nothing."""
    return "".join(f", {plain(note, one_line=True)}" for note in image.notes)


def _token(token: str, logprob: float, others: tuple[tuple[str, float], ...]) -> str:
    """A token with its probability, and in brackets what else was likely in its place."""
    shown = [f"{plain(repr(text), one_line=True)} {percent(chance(log))}" for text, log in ((token, logprob), *others)]
    return f"{shown[0]} (or {', '.join(shown[1:])})" if others else shown[0]


def chance(logprob: float) -> float:
    """A probability in [0, 1] of its natural logarithm, which a trace could have above 0."""
    return math.exp(min(0.0, logprob))


def held_to(constraint: Mapping[str, object], *, most: int) -> str:
    """What a reply was held to, plain, on one line. A pattern of a plan has 15,000 characters: of what is longer than
    `most` the beginning is shown, and its length."""
    whole = ", ".join(f"{name} {value}" for name, value in constraint.items() if name != "kind")
    shown = plain(whole, one_line=True, most=most)
    return shown if len(whole) <= most else f"{shown} ({len(whole):,} characters, whole in trace.jsonl)"


def _beginning(prompt: str) -> str:
    lines = plain(prompt).splitlines() or [""]
    left = len(lines) - SHOWN_LINES
    if left <= 0:
        return "\n".join(lines)
    return "\n".join([*lines[:SHOWN_LINES], f"… and {left} more line{'' if left == 1 else 's'}: --full"])


def _line(text: str) -> str:
    return plain(text, one_line=True)
