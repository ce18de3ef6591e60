"""Which templates a chain may ask with, so that its trace can begin with their hashes.

In: a strategy's name and the wording. Out: names and hashes, of the files as they are now. It renders nothing.
"""

import contextlib
from typing import Final

from cot.errors import PromptError
from cot.planner.names import find_own
from cot.planner.own import FILE, OwnStrategy, templates_of
from cot.planner.wording import Wording
from cot.prompt import load_template, search_path

_DIRECT: Final = ("direct/answer",)
_FACTS: Final = ("decompose/plan", "decompose/sub_answer")
_STEPS: Final = (*_FACTS, "decompose/more", "decompose/summary", "decompose/decide")
_FOLLOW_UP: Final = ("chat/follow_up", "chat/summary")

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "direct": _DIRECT, "decompose": (*_STEPS, *_DIRECT), "cot": ("cot/reason", "cot/answer", *_DIRECT),
    "vote": _DIRECT, "verify": (*_DIRECT, *_FACTS), "route": (*_DIRECT, *_STEPS),
}  # fmt: skip
"""Of each strategy that ships, those that it falls back to included."""


def template_names(strategy: str) -> tuple[str, ...]:
    """Names of the templates that a strategy, a user's own too, may ask with. Raises as `check_strategy`."""
    if strategy in TEMPLATES:
        return TEMPLATES[strategy]
    return _names(strategy, find_own(strategy))


def template_hashes(
    strategy: str, wording: Wording, *, own: tuple[OwnStrategy, str] | None = None, follow_up: bool = False
) -> dict[str, str]:
    """Name -> hash of each template that a chain of this strategy may ask with, in this wording.

    own: a user's own strategy with the hash of its file, which is among them. follow_up: whether anything was said
    before the question. A template that cannot be loaded is left out: the chain says so itself where it needs it.
    """
    names = TEMPLATES[strategy] if own is None else _names(strategy, own)
    found = {} if own is None else {f"{strategy}/{FILE}": own[1]}
    folders = search_path()
    for name in (*names, *(_FOLLOW_UP if follow_up else ())):
        name = wording.templates.get(name, name)
        with contextlib.suppress(PromptError):
            found[name] = load_template(name, language=wording.language, folders=folders).sha256
    return found


def _names(strategy: str, own: tuple[OwnStrategy, str]) -> tuple[str, ...]:
    """Those of a user's own strategy, and what it falls back to."""
    return (*sorted(templates_of(strategy, own[0])), *_DIRECT)
