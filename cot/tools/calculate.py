"""The tool that computes: arithmetic, comparison and logic over typed answers.

In: an expression and the answers that it refers to. Out: the use of the tool, with its result.
The language and its rules are `cot.expression`'s; no text is run as code.
"""

from collections.abc import Mapping

from cot.expression import Expression, evaluate, supports
from cot.step import ToolUse, Value


def calculate(expression: Expression, answers: Mapping[int, Value]) -> ToolUse:
    """Compute an expression over answers by id.

    Raises PlanError if an answer is unknown or of the wrong type.
    """
    result = evaluate(expression, answers)
    used = {f"#{number}": answers[number] for number in supports(expression)}
    return ToolUse(name="calculate", arguments={"expression": str(expression), **used}, result=result)
