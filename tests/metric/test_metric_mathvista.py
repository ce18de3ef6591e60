"""MathVista's kinds of answers."""

import pytest

from cot.errors import DataError
from cot.metric import Target
from cot.metric.mathvista import mathvista


@pytest.mark.parametrize(
    ("text", "target", "status"),
    [
        ("(B)", Target(("3/5",), ("3/4", "3/5")), "correct"),
        ("B", Target(("B",), ("B", "A", "C")), "correct"),
        ("A", Target(("B",), ("B", "A", "C")), "wrong"),
        ("(B)", Target(("B",), ("red", "blue")), "correct"),
        ("something like 3/4 or so", Target(("3/5",), ("3/4", "3/5")), "unparsed"),
        ("14", Target(("14",), answer_type="integer"), "correct"),
        ("14.7", Target(("14",), answer_type="integer"), "correct"),
        ("There are 14 of them", Target(("14",), answer_type="integer"), "correct"),
        ("Of 20, 6 go. The answer is 14.", Target(("14",), answer_type="integer"), "correct"),
        (r"20 - 6 = \boxed{14}", Target(("14",), answer_type="integer"), "correct"),
        ("The answer is 3/4.", Target(("3",), answer_type="integer"), "wrong"),
        (r"So it is \boxed{\frac{3}{4}}", Target(("0.75",), answer_type="float", precision=2), "correct"),
        ("The answer is 3 / 4", Target(("0.75",), answer_type="float", precision=2), "correct"),
        ("The answer is -3/4", Target(("-0.75",), answer_type="float", precision=2), "correct"),
        (r"\boxed{-\frac{3}{4}}", Target(("-0.75",), answer_type="float", precision=2), "correct"),
        ("The answer is 1,200/3", Target(("1200",), answer_type="integer"), "correct"),
        ("The answer is 3/0", Target(("3",), answer_type="integer"), "correct"),
        ("Of 20, 6 go, 14 stay", Target(("14",), answer_type="integer"), "unparsed"),
        ("Fourteen.", Target(("14",), answer_type="integer"), "correct"),
        ("Yes", Target(("1",), answer_type="integer"), "unparsed"),
        ("1e999", Target(("14",), answer_type="integer"), "unparsed"),
        ("15", Target(("14",), answer_type="integer"), "wrong"),
        ("1.449", Target(("1.45",), answer_type="float", precision=2), "correct"),
        ("It costs $1.45.", Target(("1.45",), answer_type="float", precision=2), "correct"),
        ("1.5", Target(("1.45",), answer_type="float", precision=2), "wrong"),
        ("0.6", Target(("0.60",), answer_type="float", precision=1), "correct"),
        ("between [2007, 2008.0]", Target(("[2007, 2008]",), answer_type="list"), "correct"),
        ("[2008, 2007]", Target(("[2007, 2008]",), answer_type="list"), "wrong"),
        ("['A', 'b']", Target(("['a', 'b']",), answer_type="list"), "correct"),
        ("2007 and 2008", Target(("[2007, 2008]",), answer_type="list"), "unparsed"),
        (" Red  ball", Target(("red ball",)), "correct"),
        (" ", Target(("red ball",)), "unparsed"),
    ],
)
def test_reads_and_compares(text, target, status):
    assert mathvista(text, target).status == status


@pytest.mark.parametrize(
    "target",
    [
        Target(("many",), answer_type="integer"),
        Target(("1.5",), answer_type="float"),
        Target(("1.5",), answer_type="float", precision=99),
        Target(("nan",), answer_type="float", precision=1),
        Target(("1, 2",), answer_type="list"),
        Target((" ",)),
    ],
)
def test_ground_truths_of_another_kind(target):
    with pytest.raises(DataError, match="expected"):
        mathvista("1", target)
