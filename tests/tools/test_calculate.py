import pytest

from cot.errors import PlanError
from cot.expression import parse_expression
from cot.step import ToolUse
from cot.tools.calculate import calculate


def test_the_use_holds_what_went_in_and_what_came_out():
    use = calculate(parse_expression("#1 + #3 > 4"), {1: 3, 2: "red", 3: 2})
    assert use == ToolUse(name="calculate", arguments={"expression": "#1 + #3 > 4", "#1": 3, "#3": 2}, result=True)


@pytest.mark.parametrize("answers", [{1: None, 2: 3}, {1: "red", 2: 3}, {2: 3}])
def test_what_cannot_be_computed_says_why(answers):
    with pytest.raises(PlanError, match="#1 is"):
        calculate(parse_expression("#1 > #2"), answers)
