"""Dialects: what servers of one kind call the things that the OpenAI API does not name.

In: a constraint or sampling settings. Out: fields of a request. Field names are those of vLLM 0.12 (and before
0.11, where they differ), SGLang 0.5, llama.cpp's server and Ollama 0.13. It sends nothing and checks nothing.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from cot.engine.base import Choices, Constraint, JsonSchema, Sampling
from cot.engine.grammar import escaped_choices
from cot.engine.remote.gbnf import choices_grammar, regex_grammar
from cot.errors import EngineError

Dialect = Literal["openai", "vllm", "sglang", "llamacpp", "ollama"]

DIALECTS: Final[tuple[Dialect, ...]] = ("openai", "vllm", "sglang", "llamacpp", "ollama")
"""`openai` is also what is taken for any server that is none of the others."""

WRAPPER: Final = "answer"
"""The field of the JSON object in which a choice is asked for where only JSON can be constrained."""


@dataclass(frozen=True)
class Server:
    """What answers. version: as the server says. context_tokens: 0 if it does not say."""

    dialect: Dialect
    model: str
    version: str = ""
    context_tokens: int = 0

    @property
    def samples(self) -> bool:
        """Whether one request can ask for several samples: Ollama gives one, older llama.cpp refuses."""
        return self.dialect in ("openai", "vllm", "sglang")

    @property
    def _guided(self) -> bool:
        """Whether this is a vLLM from before `structured_outputs`."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version)
        return found is not None and (int(found[1]), int(found[2])) < (0, 11)

    def wraps(self, constraint: Constraint | None) -> bool:
        """Whether this server is asked for a choice within a JSON object, since it can be held to nothing else."""
        return isinstance(constraint, Choices) and self.dialect in ("openai", "ollama")

    def constrained(self, constraint: Constraint) -> dict[str, Any]:
        """Fields that hold a reply to `constraint`; none if this server cannot be told."""
        if isinstance(constraint, JsonSchema):
            return _response_format(json.loads(constraint.schema))
        match self.dialect:
            case "vllm":
                kind = "choice" if isinstance(constraint, Choices) else "regex"
                value = list(constraint.values) if isinstance(constraint, Choices) else constraint.pattern
                return {f"guided_{kind}": value} if self._guided else {"structured_outputs": {kind: value}}
            case "sglang":
                return {
                    "regex": f"({escaped_choices(constraint)})"
                    if isinstance(constraint, Choices)
                    else constraint.pattern
                }
            case "llamacpp":
                text = choices_grammar(constraint) if isinstance(constraint, Choices) else regex_grammar(constraint)
                return {"grammar": text} if text else {}
        if isinstance(constraint, Choices):
            return _response_format(
                {
                    "type": "object",
                    "properties": {WRAPPER: {"type": "string", "enum": list(constraint.values)}},
                    "required": [WRAPPER],
                    "additionalProperties": False,
                }
            )
        return {}

    def sampled(self, sampling: Sampling) -> dict[str, Any]:
        """Fields for how tokens are chosen. Servers have defaults of their own, so what they know is said in full.

        Raises EngineError for a setting that this server would pass over in silence.
        """
        known: dict[str, Any] = {"temperature": sampling.temperature}
        if sampling.temperature > 0:
            known |= {"top_p": sampling.top_p, "seed": sampling.seed}
        if self.dialect == "ollama":
            self._refuse_unknown(sampling)
            return known
        penalty = {
            ("repeat_penalty" if self.dialect == "llamacpp" else "repetition_penalty"): sampling.repetition_penalty
        }
        if self.dialect != "openai" or sampling.repetition_penalty != 1.0:
            known |= penalty
        if sampling.temperature > 0:
            no_limit = 0 if self.dialect == "llamacpp" else -1
            if self.dialect != "openai" or sampling.top_k:
                known["top_k"] = sampling.top_k or no_limit
            if self.dialect != "openai" or sampling.min_p:
                known["min_p"] = sampling.min_p
        return known

    def _refuse_unknown(self, sampling: Sampling) -> None:
        plain = Sampling()
        names = ["repetition_penalty"] + (["top_k", "min_p"] if sampling.temperature > 0 else [])
        for name in names:
            if (got := getattr(sampling, name)) != getattr(plain, name):
                raise EngineError(
                    f"got {name}={got!r} for an Ollama server, whose OpenAI API does not know it; expected "
                    f"{getattr(plain, name)!r}; set it in the server's Modelfile instead"
                )


def unfenced(text: str) -> str:
    """What stands in a fence of Markdown, if that is all there is; other text as it is."""
    inner = text.strip()
    if not inner.startswith("```") or not inner.endswith("```") or len(inner) < 6:
        return text
    return re.sub(r"^json\b", "", inner[3:-3], flags=re.IGNORECASE).strip()


def unwrap(text: str) -> str:
    """The choice within the JSON object that was asked for; other text as it is."""
    try:
        value = json.loads(unfenced(text))
    except (ValueError, RecursionError):
        return text
    inner = value.get(WRAPPER) if isinstance(value, dict) else None
    return inner if isinstance(inner, str) else text


def _response_format(schema: Any) -> dict[str, Any]:
    described = {"name": WRAPPER, "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": described}}
