"""Samples that count together."""

import random
from collections import defaultdict

import pytest

from cot.metric import GroupTally
from cot.stats import clustered_bootstrap


def tallied(*samples):
    tally = GroupTally()
    for group, status, image in samples:
        tally.add(group, status, image)
    return tally


@pytest.mark.parametrize(
    ("statuses", "right"),
    [
        (["correct", "correct"], True),
        (["correct", "wrong"], False),
        (["correct", "partial"], False),
        (["unparsed", "correct"], False),
        (["errored", "correct"], None),
        (["wrong", "errored"], None),
        (["correct"], True),
    ],
)
def test_a_group_is_right_if_every_sample_is(statuses, right):
    assert tallied(*(("g", status, "i") for status in statuses)).right == [right]


def test_groups_that_share_an_image_also_by_way_of_others_are_one_cluster():
    tally = tallied(*((group, "correct", image) for group, image in ("aX", "bY", "cZ", "cX", "dY", "eV")))
    a, b, c, d, e = tally.clusters
    assert (a == c, b == d) == (True, True)
    assert len({a, b, e}) == 3


def test_hallusionbench_as_its_authors_count():
    """Against their definitions, read from get_eval_fig and get_eval_pair_all: a figure or a question pair counts where
    as many are right as there are."""
    draw = random.Random(3)
    for _ in range(50):
        rows = [(str(s), str(f), str(q), draw.random() < 0.8) for s in range(4) for f in range(3) for q in range(3)]
        rows = draw.sample(rows, draw.randint(1, len(rows)))
        for key in (lambda s, f, q: f"VD_chart_{s}_{f}", lambda s, f, q: f"VD_chart_{s}_{q}"):
            counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
            tally = GroupTally()
            for s, f, q, right in rows:
                counts[key(s, f, q)][0] += right
                counts[key(s, f, q)][1] += 1
                tally.add(key(s, f, q), "correct" if right else "wrong", f"{s}_{f}.png")
            assert tally.right == [right == of for right, of in counts.values()]
            found = clustered_bootstrap([float(bool(one)) for one in tally.right], tally.clusters)
            assert found is None or found[0] <= sum(map(bool, tally.right)) / len(tally.right) <= found[1]
            assert (found is None) == (len(set(tally.clusters)) == 1)
