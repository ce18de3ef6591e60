"""The tables of `cot eval` that are made of a summary alone."""

from eval_runs import result

from cot.cli.eval_table import figures_table
from cot.evaluate import Summary, Tally


def summary_of(made, metric, **fields):
    tally = Tally(lambda task: metric)
    tally.take(made)
    return Summary(complete=True, model="tiny", tasks=(), parts=tally.parts(), **fields)


def yes_no(number, said, true, **fields):
    status = "correct" if said == true else "wrong"
    return result(number, status, answer=said, targets=(true,), **{"category": "", **fields})


def test_the_figures_of_a_metric_of_its_own_are_shown():
    said = [yes_no(1, "yes", "yes"), yes_no(2, "yes", "no"), yes_no(3, "yes", "no"), yes_no(4, "no", "no")]
    assert figures_table([summary_of([*said, result(5, "unparsed", category="")], "pope")]).splitlines() == [
        "task  strategy  category  n  unparsed  errored  accuracy  precision  recall     f1  yes ratio",
        "mine  direct    all       5         1        0     50.0%      33.3%  100.0%  50.0%      75.0%",
    ]
    assert figures_table([summary_of(said, "exact")]) == ""


def test_the_figures_of_controls_and_categories_stand_below_each_other():
    made = [yes_no(number, "yes", "yes", category="OCR", group="1") for number in range(2)]
    summaries = [summary_of(made, "mme"), summary_of(made, "mme", ablation="blank")]
    assert figures_table(summaries).splitlines() == [
        "task  strategy  ablation  category  n  unparsed  errored  accuracy  accuracy plus  score",
        "mine  direct    none      OCR       2         0        0    100.0%         100.0%  200.0",
        "mine  direct    blank     OCR       2         0        0    100.0%         100.0%  200.0",
    ]
    noes = [yes_no(number, "no", "no") for number in range(2)]
    assert figures_table([summary_of(noes, "pope")]).split()[-5:] == ["100.0%", "-", "-", "-", "0.0%"]
