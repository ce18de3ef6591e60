"""Renders an HTML page that needs nothing else, whatever text is in it.

In: a template, a style sheet, at most one script, values. Out: the text of a page that loads nothing: a
Content-Security-Policy forbids all but the style and the script, which it names by their hashes. Text is escaped, and
control, bidirectional and invisible characters in it are written out.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from cot.trace.plain import escaped

PAGES: Final = Path(__file__).resolve().parent / "pages"
"""Holds `base.html.jinja`, which all pages extend, and `style.css`."""


def page_environment(*folders: Path) -> jinja2.Environment:
    """Templates of these folders and of `PAGES`, with the text of their values made harmless."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, PAGES]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_visible,
    )  # fmt: skip


def render(environment: jinja2.Environment, template: str, *, style: str, script: str, **values: Any) -> str:
    """The page. style, script: their texts; an empty script is none."""
    allowed = ["default-src 'none'", "img-src data:", f"style-src '{_hash(style)}'", "base-uri 'none'"]
    allowed += ["form-action 'none'", f"script-src '{_hash(script)}'" if script else "script-src 'none'"]
    page = environment.get_template(template)
    return page.render(policy="; ".join(allowed), style=Markup(style), script=Markup(script), **values) + "\n"


@cache
def asset(path: Path) -> str:
    """A style sheet or script that this package ships."""
    return path.read_text("utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _visible(value: object) -> object:
    """What stands in for a value wherever a template prints one; jinja2 escapes it after that."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value
