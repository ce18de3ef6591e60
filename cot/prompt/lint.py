"""What is wrong, or may be wrong, with a template, found without a model.

In: a template's file. Out: findings. It reports all it can find, where loading stops at the first. `lint_matter` looks
at what the template says about itself, `lint_body` at what its body does with inputs.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from pydantic import ValidationError

from cot.errors import CotError, PromptError, did_you_mean
from cot.prompt.find import read_template, resolver
from cot.prompt.lint_body import shown_bare, used_inputs, varies_before_images
from cot.prompt.lint_matter import Finding, check_keys, check_kinds, check_values
from cot.prompt.matter import FrontMatter, Input, read_yaml, split_source, unlike
from cot.prompt.sandbox import IMAGES, Body
from cot.prompt.source import ENGLISH, Folder, Located, locate, read_inside
from cot.prompt.template import build_body

_BEFORE: Final = (
    f"{{0!r}} varies and stands before {{{{{{{{ {IMAGES} }}}}}}}}, so images cannot be shared between prompts;"
    " put it behind them"
)


def lint(
    found: Located, folders: Sequence[Folder], *, check_output: Callable[[FrontMatter], None] | None = None
) -> tuple[Finding, ...]:
    """Errors first, then warnings; none if all is well.

    check_output: raises CotError for an output that no engine can be held to.
    """
    try:
        head, text = split_source(read_inside(found.path, found.folder.path, name=found.name))
        matter = read_yaml(head, origin="front matter") if head is not None else None
    except PromptError as error:
        return (_named(found, Finding("error", str(error))),)
    findings: list[Finding] = []
    if isinstance(matter, dict):
        findings += [*check_keys(matter), *check_kinds(matter), *check_values(matter, found.name)]
    try:
        body = build_body(text, name=found.name, resolve=resolver(found.language, folders))
    except PromptError as error:
        findings.append(Finding("error", str(error)))
    else:
        output = matter.get("output") if isinstance(matter, dict) else None
        findings += _names(body, _inputs(matter), output, needed=_needed(found, folders))
        if moved := varies_before_images(body):
            findings.append(Finding("warning", _BEFORE.format(moved)))
    # What loading says is news only if nothing above has said it; of front matter that is none nothing has.
    if not isinstance(matter, dict) or not any(finding.level == "error" for finding in findings):
        try:
            template = read_template(found, folders)
            findings += _stands_in(template.matter, found, folders)
            if check_output:
                check_output(template.matter)
        except CotError as error:
            findings.append(Finding("error", str(error)))
    return tuple(_named(found, finding) for finding in sorted(findings, key=lambda finding: finding.level))


def _named(found: Located, finding: Finding) -> Finding:
    """Without the template's own name: who looks for mistakes in it knows that."""
    return Finding(finding.level, finding.text.removeprefix(f"{found.name}: "))


def _stands_in(matter: FrontMatter, found: Located, folders: Sequence[Folder]) -> Iterator[Finding]:
    """In what it differs from those whose place it takes."""
    for whose, other in _replaced(found, folders):
        if problem := unlike(other, matter):
            yield Finding("error", f"it cannot stand in place of the {whose} one: {problem}")
            return


def _needed(found: Located, folders: Sequence[Folder]) -> set[str]:
    """Inputs that it must take, used or not, since those whose place it takes do."""
    return {name for _, matter in _replaced(found, folders) for name in matter.inputs}


def _replaced(found: Located, folders: Sequence[Folder]) -> Iterator[tuple[str, FrontMatter]]:
    """Those whose place it takes: the shipped one, and the English one that it translates."""
    shipped = tuple(folder for folder in folders if folder.origin == "shipped")
    others = [("shipped", found.language, shipped)] if found.folder not in shipped else []
    others += [("English", ENGLISH, tuple(folders))] if found.language != ENGLISH else []
    for whose, language, places in others:
        with contextlib.suppress(PromptError):  # there is none
            other = locate(found.name, language=language, folders=places)
            yield whose, read_template(other, folders).matter


def _inputs(matter: object) -> dict[str, Any]:
    """What is declared, as far as it can be read; loading says what is wrong with the rest."""
    inputs = matter.get("inputs") if isinstance(matter, dict) else None
    return {name: spec for name, spec in inputs.items() if isinstance(name, str)} if isinstance(inputs, dict) else {}


def _may_be_none(spec: dict[str, Any]) -> bool:
    """Whether an input may be left out and has no default; what else is wrong with it loading says."""
    try:
        declared = Input.model_validate(spec)
    except ValidationError:
        return False
    return not declared.required and declared.default is None


def _names(body: Body, inputs: dict[str, Any], output: object, *, needed: set[str]) -> Iterator[Finding]:
    used, declared = used_inputs(body), set(inputs)
    for name in sorted(used - declared):
        hint = did_you_mean(name, sorted(declared)) or f"; declare it: `inputs: {{{name}: {{kind: text}}}}`"
        yield Finding("error", f"undefined input {name!r}{hint}")
    # What the output is held to need not be shown.
    for name in sorted(declared - used - {"wants", "choices" if output == "choice" else ""}):
        otherwise = "" if name in needed else ", or take it out of `inputs`"
        yield Finding("warning", f"unused input {name!r}; use it{otherwise}")
    specs = {name: spec for name, spec in inputs.items() if isinstance(spec, dict)}
    unset = {name for name, spec in specs.items() if _may_be_none(spec)}
    for name in sorted(shown_bare(body, unset)):
        yield Finding(
            "warning",
            f"input {name!r} may be left out and is then shown as None; give it a default, or `required: true`",
        )
