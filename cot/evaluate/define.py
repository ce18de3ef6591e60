"""What a run is defined by, made of what it is started with.

In: tasks with their samples, engines, options. Out: a `Definition`. It asks no engine, and reads templates alone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import cot
from cot.engine.base import Engine
from cot.errors import UsageError
from cot.evaluate.asking import Asking
from cot.evaluate.definition import Definition, JudgeIdentity, MadeWith
from cot.evaluate.judge import check_template
from cot.evaluate.options import Options
from cot.evaluate.select import Selection
from cot.planner.own import FILE, OwnStrategy, load_own, templates_of, tool_versions
from cot.planner.run import STRATEGIES
from cot.planner.tuning import Tuning
from cot.prompt import Template
from cot.prompt.find import load_template
from cot.prompt.source import ENGLISH, list_located, search_path


def define(
    selections: Sequence[Selection], engine: Engine, options: Options, judge: Engine | None = None
) -> Definition:
    """The definition of a run that starts now.

    Raises UsageError for a judge that is missing or not wanted, TaskError for a template that cannot judge, and
    PromptError.
    """
    asking, info = options.asking, engine.info
    return Definition(
        cot=cot.__version__,
        model=info.model,
        revision=info.revision,
        dtype=info.dtype,
        quantization=info.quantization,
        **_asked(selections, options),
        settings={**_settings(asking), **_tools(options.strategies)},
        templates=template_hashes(asking.language, options.strategies),
        judge=judge_identity(selections, judge, asking.language),
        made_with=MadeWith(
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            device=info.device,
            versions=dict(info.versions),
            data={selection.identity.name: selection.place for selection in selections},
        ),
    )


def check_asked(before: Definition, selections: Sequence[Selection], options: Options, where: str) -> None:
    """Raise DataError, as `check_same` does, for what tells before a model is loaded that a run cannot go on so."""
    before.check_same(before.model_copy(update=_asked(selections, options)), where)


def _asked(selections: Sequence[Selection], options: Options) -> dict[str, Any]:
    """What a definition takes neither from a model nor from files of templates."""
    return {
        "tasks": tuple(selection.identity for selection in selections),
        "strategies": options.strategies,
        "language": options.asking.language,
        "seed": options.asking.seed,
        "shuffle": selections[0].numbers is not None,
        "ablation": options.asking.ablation,
    }


def check_judge(selections: Sequence[Selection], named: bool, language: str) -> dict[str, str]:
    """Name -> hash of the templates that judges are asked with.

    named: whether there is a judge. Raises UsageError if a task wants one and there is none, or none wants it, and
    TaskError or PromptError for a template that is missing or cannot judge.
    """
    wanted = {selection.identity.name: selection.task.judge_template for selection in selections}
    judged = [name for name, template in wanted.items() if template]
    if judged and not named:
        raise UsageError(f"the task {judged[0]} is scored by a judge; name its model with --judge-model")
    if named and not judged:
        raise UsageError(f"got --judge-model, and none of {list(wanted)} is scored by a judge; leave it out")
    return {template: check_template(template, language) for template in wanted.values() if template}


def judge_identity(selections: Sequence[Selection], judge: Engine | None, language: str) -> JudgeIdentity | None:
    """Who judges, and by what; None where nobody does. Raises as `check_judge` does."""
    templates = check_judge(selections, judge is not None, language)
    if judge is None:
        return None
    return JudgeIdentity(
        model=judge.info.model,
        revision=judge.info.revision,
        dtype=judge.info.dtype,
        quantization=judge.info.quantization,
        templates=templates,
    )


def template_hashes(language: str, strategies: Sequence[str]) -> dict[str, str]:
    """Name -> hash of every template of a strategy, as it would be loaded now, and of the files of users' own ones.

    Strategies that ship use each other's templates, so that those of all of them count. Raises PromptError.
    """
    files = {f"{name}/{FILE}": sha256 for name, (_, sha256) in _own(strategies).items()}
    return {name: template.sha256 for name, template in _templates(language, strategies).items()} | files


def untranslated(language: str, strategies: Sequence[str]) -> str:
    """What is asked in English though another language is wanted, in words; empty if nothing is. Raises PromptError."""
    found = _templates(language, strategies) if language != ENGLISH else {}
    lacking = [name for name, template in found.items() if template.language != language]
    if not lacking:
        return ""
    if len(lacking) == len(found):
        return f"there are no templates in {language!r}; all is asked in English"
    return f"without a translation into {language!r}, and asked in English: {', '.join(lacking)}"


def _templates(language: str, strategies: Sequence[str]) -> dict[str, Template]:
    folders = search_path()
    names = {found.name for found in list_located(folders) if found.name.split("/")[0] in STRATEGIES}
    names |= {template for name, (strategy, _) in _own(strategies).items() for template in templates_of(name, strategy)}
    return {name: load_template(name, language=language, folders=folders) for name in sorted(names)}


def _tools(strategies: Sequence[str]) -> dict[str, str]:
    """What the tools of users' own strategies come from: another version may read another text."""
    versions = (tool_versions(strategy) for strategy, _ in _own(strategies).values())
    return {name: version for found in versions for name, version in found.items()}


def _own(strategies: Sequence[str]) -> dict[str, tuple[OwnStrategy, str]]:
    return {name: found for name in strategies if name not in STRATEGIES and (found := load_own(name))}


def _settings(asking: Asking) -> dict[str, float | int | str]:
    return {
        "max_steps": asking.budget.max_steps,
        "max_tokens": asking.budget.max_tokens,
        "max_seconds": asking.budget.max_seconds,
        "max_image_bytes": asking.image_limits.max_bytes,
        "max_image_pixels": asking.image_limits.max_pixels,
        **(asking.tuning or Tuning()).recordable,
    }
