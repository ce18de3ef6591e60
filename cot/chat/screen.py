"""Shows what a session tells, on a terminal or in a file of lines.

In: events. Out: finished lines, each printed once and never drawn again. All text from outside is made plain first.
What a line is, it says in words; colours only repeat it, and are such that can be read on light and dark backgrounds.
"""

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cot.chat.conversation import Conversation
from cot.chat.event import ChatEvent, Detail, ImageAttached, Said, StepDone, TraceOpened, TurnDone, WentOn
from cot.chat.preview import Way, picture
from cot.chat.turn import Turn
from cot.image import LoadedImage
from cot.step import FinalAnswer, Step, SubAnswer, Summary, ToolUse
from cot.trace.plain import plain
from cot.trace.show import PROBLEM, step_line, trace_tree

_STYLES = {"info": "dim", "warning": PROBLEM, "error": PROBLEM}


class Screen:
    """Prints to one console."""

    def __init__(self, console: Console, *, preview: Way = "none", words_only: bool = False) -> None:
        """preview: how images are shown. words_only: no lines that are drawn, for screen readers."""
        self._console = console
        self._preview = preview
        words_only = words_only or console.options.ascii_only
        self._step_mark, self._end_mark = ("step: ", "") if words_only else ("├─ ", "└─ ")

    def show(self, event: ChatEvent, detail: Detail) -> None:
        """Print an event; detail: how many steps."""
        match event:
            case Said():
                self.say(f"error: {event.text}" if event.tone == "error" else event.text, _STYLES[event.tone])
            case StepDone():
                self.step(event.step, detail)
            case TurnDone():
                self.end(event.turn)
            case TraceOpened():
                self._console.print(trace_tree(event.trace))
            case ImageAttached():
                self.image(event.image)
            case WentOn():
                self.conversation(event.conversation, event.name)

    def say(self, text: str, style: str = "dim") -> None:
        """Print a line of words."""
        self._line(Text(_one_line(text), style))

    def typed(self, line: str) -> None:
        """Print a line as the user typed it, in front of what comes of it."""
        shown = "\n  ".join(plain(line).splitlines())
        self._line(Text.assemble(("> ", "dim"), (shown, "bold")))

    def step(self, step: Step, detail: Detail) -> None:
        """Print a step, where it is wanted; the answer comes with the end of the turn."""
        if detail == "off" or isinstance(step, FinalAnswer):
            return
        line = step_line(step)
        if detail == "brief":
            if not isinstance(step, SubAnswer | ToolUse | Summary):
                return
            if isinstance(step, SubAnswer):
                line = Text.assemble((f"{_one_line(step.asked)} ", "dim"), line)
        self._line(Text.assemble((self._step_mark, "dim"), line))

    def end(self, turn: Turn) -> None:
        """Print the answer, what a person should know, and what it cost."""
        if turn.answer is not None:
            self._line(Text.assemble((self._end_mark, "dim"), step_line(turn.answer)))
        stopped = turn.stop_reason != "answered"
        for note in turn.notes[:-1] if stopped else turn.notes:
            self.say(f"note: {note}", PROBLEM)
        if turn.stop_reason == "cancelled":
            self._line(Text.assemble((self._end_mark, "dim"), ("interrupted", PROBLEM)))
        elif stopped:
            why = f": {turn.notes[-1]}" if turn.notes else ""
            self.say(f"stopped: {turn.stop_reason}{why}", PROBLEM)
        if turn.usage:
            self.say(status_line(turn))

    def image(self, image: LoadedImage) -> None:
        """Print a picture, where the terminal can show one."""
        if self._preview == "blocks" and self._console.color_system not in ("256", "truecolor"):
            return
        width, height = self._console.size
        found = picture(image, self._preview, columns=width, lines=height)
        if isinstance(found, Text):
            self._console.print(found)
        elif found:
            # A control sequence has no columns that rich could count.
            self._console.file.write(found)
            self._console.file.flush()

    def conversation(self, conversation: Conversation, name: str) -> None:
        """Print what was said before."""
        self.say(f"conversation {name}")
        for part in conversation.in_order():
            if isinstance(part, Turn):
                self.typed(part.question)
                self.end(part)
                continue
            self.say("images from here on:" if part else "images from here on: none")
            for number, image in enumerate(part, 1):
                self.say(f"[{number}] {image.source}  {image.width} x {image.height}")

    def _line(self, text: Text) -> None:
        if self._console.is_terminal:
            text = _between_words(text, self._console.width)
        self._console.print(text, soft_wrap=True)


def status_line(turn: Turn) -> str:
    """What an answer cost: model, strategy, images, tokens, speed, time, and how much of the context it took."""
    prompt, cached = (turn.usage.get(name, 0) for name in ("prompt_tokens", "cached_tokens"))
    images = "1 image" if len(turn.images) == 1 else f"{len(turn.images)} images"
    cost = f"{prompt:,} prompt tokens, {cached:,} cached, {turn.tokens_per_second:.0f} tokens/s, {turn.seconds:.2f} s"
    context = f", context {context_used(turn)}" if turn.longest_tokens else ""
    return f"{turn.model.get('name')}, {turn.strategy}, {images}, {cost}{context}"


def context_used(turn: Turn) -> str:
    """Tokens of the longest prompt with its answer, of how many if that is known."""
    return f"{turn.longest_tokens:,}" + (f" of {turn.context_tokens:,}" if turn.context_tokens else "")


def _between_words(text: Text, columns: int) -> Text:
    """Broken between words. A word longer than a line is left to the terminal, so that a copied path has no breaks."""
    characters, used = list(text.plain), 0
    for found in re.finditer(r"(\s*)(\S+)", text.plain):
        _, line_break, space = found[1].rpartition("\n")
        used = len(space) if line_break else used + len(space)
        length = cell_len(found[2])
        if used + length > columns >= length:
            characters[found.start(2) - len(space)] = "\n"
            used = len(space) - 1
        used = (used + length - 1) % columns + 1 if length else used
    broken = text.copy()
    broken.plain = "".join(characters)
    return broken


def _one_line(text: str) -> str:
    return plain(text, one_line=True)
