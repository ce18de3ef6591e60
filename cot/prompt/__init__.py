"""Template file -> rendered text and hashes.

In: the name of a template (`decompose/plan`) and its inputs. Out: a `Rendered` prompt. `find` says which
file a name stands for, `matter` what the file says about itself, `sandbox` what its words may do, `template`
renders. `lint`, `case`, `scaffold` and `compare_text` are for people who write templates, and are imported
where they are used. None of it asks a model or knows a strategy.
"""

from cot.prompt.find import load_template, search_path
from cot.prompt.matter import FrontMatter, Input
from cot.prompt.sandbox import MAX_RENDERED_CHARACTERS
from cot.prompt.source import MAX_TEMPLATE_BYTES, own_notes
from cot.prompt.template import Rendered, Shot, Template, parse_template

__all__ = [
    "MAX_RENDERED_CHARACTERS",
    "MAX_TEMPLATE_BYTES",
    "FrontMatter",
    "Input",
    "Rendered",
    "Shot",
    "Template",
    "load_template",
    "own_notes",
    "parse_template",
    "search_path",
]
