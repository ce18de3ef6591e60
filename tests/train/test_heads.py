"""What the tower is taught with: counts of each class, from shares and probabilities of patches."""

import pytest
import torch

from cot.train.heads import Heads
from cot.train.packing import IGNORE

SHARES = torch.tensor([[0.5, 0.5, 1.0, 0.0]])
BATCH = {"objects": torch.tensor([[1, 1, 2, 0]]), "classes": torch.tensor([[1, 1, 2, 0]])}
SURE = 30.0


def logits(*probabilities: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor([probabilities]).clamp(min=1e-12).log()


def test_counts_of_classes_are_right_where_patches_are() -> None:
    one, two, none = (0, 1, 0), (0, 0, 1), (1, 0, 0)
    assert Heads.miscounted(logits(one, one, two, none), SHARES, BATCH).item() == pytest.approx(0, abs=1e-6)
    # One thing of the first class too many and one of the second too few, over the two classes that are shown.
    assert Heads.miscounted(logits(one, one, one, none), SHARES, BATCH).item() == pytest.approx(2 * 0.95 / 2)
    assert Heads.miscounted(logits(one, one, two, none), 2 * SHARES, BATCH).item() == pytest.approx(2 * 0.95 / 2)


def test_what_has_no_class_and_an_image_of_nothing_count_nothing() -> None:
    unknown = {"objects": BATCH["objects"], "classes": torch.tensor([[1, 1, IGNORE, 0]])}
    one, none = (0, 1, 0), (1, 0, 0)
    assert Heads.miscounted(logits(one, one, one, none), SHARES, unknown).item() == pytest.approx(0, abs=1e-6)
    empty = {name: torch.zeros_like(values) for name, values in BATCH.items()}
    assert Heads.miscounted(logits(*[none] * 4), SHARES, empty).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("likely", "wanted"), [(0.6, 1.0), (0.4, 0.0)])
def test_a_patch_that_may_be_one_thing_or_another_is_taken_for_the_likelier_one(likely: float, wanted: float) -> None:
    score = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.Adam([score], lr=0.1)
    batches = [{"objects": torch.ones(1, 1).long(), "classes": torch.tensor([[kind]])} for kind in (1, 2)]
    for _ in range(300):
        kinds = torch.stack([torch.tensor(-SURE), score, -score])[None, None]
        first, second = (Heads.miscounted(kinds, torch.ones(1, 1), batch) for batch in batches)
        optimizer.zero_grad()
        (likely * first + (1 - likely) * second).backward()
        optimizer.step()
    assert (2 * score).sigmoid().item() == pytest.approx(wanted, abs=0.1)
