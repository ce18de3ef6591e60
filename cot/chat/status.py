"""The line below the prompt.

In: a session, the lines that wait, and the width of the terminal. Out: one line of plain text, of which whole parts are
left out where it is too narrow, those of the last answer's cost first.
"""

from prompt_toolkit.utils import get_cwidth

from cot.chat.answering import Answering
from cot.chat.screen import context_used
from cot.chat.session import Session
from cot.chat.turn import Turn
from cot.trace.plain import plain

_BETWEEN = " | "


def toolbar(session: Session, columns: int, answering: Answering | None = None) -> str:
    """Model and its state, lines that wait for it, strategy, images, and what the last answer cost."""
    images = session.conversation.images
    waiting = len(session.conversation.waiting)
    attached = f"{len(images)} image{'' if len(images) == 1 else 's'}" if images else "no image"
    new = f" ({waiting} new)" if waiting and waiting < len(images) else ""
    model = _short(plain(session.settings.model, one_line=True), columns // 2)
    turns = session.conversation.turns
    text = f"{model}{_state(session, answering)}"
    behind = (f"{answering.waiting} waiting",) if answering and answering.waiting else ()
    for part in (*behind, session.settings.strategy, f"{attached}{new}", *(_cost(turns[-1]) if turns else ())):
        if get_cwidth(f"{text}{_BETWEEN}{part}") > columns - 1:
            break
        text += f"{_BETWEEN}{part}"
    while text and get_cwidth(text) > columns - 1:
        text = text[:-1]
    return text


def _state(session: Session, answering: Answering | None) -> str:
    state = session.engines.state
    if state != "ready":
        return f": {state}"
    return ": answering" if answering and answering.busy else ""


def _cost(turn: Turn) -> tuple[str, ...]:
    if not turn.usage:
        return ()
    cached = f"{turn.usage.get('cached_tokens', 0):,} cached"
    context = (f"context {context_used(turn)}",) if turn.longest_tokens else ()
    return (*context, cached, f"{turn.tokens_per_second:.0f} tokens/s", f"{turn.seconds:.2f} s")


def _short(name: str, columns: int) -> str:
    """The end of a name that is too long: what tells models apart stands there."""
    if get_cwidth(name) <= columns:
        return name
    name = name.rstrip("/").rpartition("/")[2]
    while get_cwidth(name) >= max(columns, 2):
        name = name[1:]
    return f"…{name}"
