"""The typed steps of a reasoning chain, and the values that they carry.

In: nothing. Out: frozen pydantic models, written to traces as they are.
No step knows how it was made; engines, prompts and planners do.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Wants = Literal["count", "yes_no", "choice", "number", "phrase", "region", "text"]
"""What kind of value a sub-question asks for."""

StopReason = Literal["answered", "budget_tokens", "budget_seconds", "budget_steps", "unparsed", "error", "cancelled"]
"""Why a chain ended."""

Value = bool | int | float | str | None
"""A typed value. `yes_no` is bool, `count` is int, `number` is int or float, the rest
is str; None means unknown: the model abstained, or its text could not be parsed."""

Confidence = Annotated[float, Field(ge=0.0, le=1.0)]
"""A probability in [0, 1]; how it was obtained is said where it is made."""


Source = Literal["direct", "steps", "vote", "other"]
"""What the confidence of a final answer is: the probability of the model's own text, the product over facts, the
share of votes, or something else."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SubQuestion(_Frozen):
    """A question that helps to answer the whole one."""

    kind: Literal["sub_question"] = "sub_question"
    id: int = Field(ge=1)
    """Number within the plan, from 1."""
    text: str
    """The question; `#2` in it stands for the answer to sub-question 2."""
    wants: Wants
    """The type of its answer."""
    depends_on: tuple[int, ...] = ()
    """Ids whose answers the text refers to."""


class SubAnswer(_Frozen):
    """The answer to one sub-question."""

    kind: Literal["sub_answer"] = "sub_answer"
    to: int = Field(ge=1)
    """Id of the sub-question."""
    asked: str
    """The question as it was asked, references filled in."""
    value: Value
    """Typed value; None if unknown."""
    raw: str
    """The model's own text."""
    confidence: Confidence
    """Probability that the model gave to this text, within what it was allowed to say."""
    problem: str | None = None
    """Why there is no value, if there is none."""


class Reasoning(_Frozen):
    """Free text: an intermediate inference, or a decision of the planner."""

    kind: Literal["reasoning"] = "reasoning"
    text: str


class ToolUse(_Frozen):
    """A computation or another tool, with its arguments and its result."""

    kind: Literal["tool_use"] = "tool_use"
    name: str
    arguments: dict[str, Value]
    result: Value


class Summary(_Frozen):
    """The state so far, and what is still missing."""

    kind: Literal["summary"] = "summary"
    text: str


class FinalAnswer(_Frozen):
    """The answer to the whole question."""

    kind: Literal["final_answer"] = "final_answer"
    text: str
    """The answer as it is shown."""
    value: Value
    """Typed value; None if unknown."""
    raw: str
    """The text it was parsed from, or the expression it was computed by."""
    confidence: Confidence
    """Probability that it is right, as far as the model is calibrated; else as `source` says."""
    supports: tuple[int, ...] = ()
    """Ids of the sub-answers that it rests on."""
    source: Source = "other"
    """What the confidence is, before calibration."""
    uncalibrated: Confidence | None = None
    """The confidence before calibration; None where calibration did not change it."""


Step = Annotated[SubQuestion | SubAnswer | Reasoning | ToolUse | Summary | FinalAnswer, Field(discriminator="kind")]
"""Any step."""
