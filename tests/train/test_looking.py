"""Where a head is to look from a name: at the objects that have it, and all the less elsewhere the more there are."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from cot.train.looking import SINK, looked_at, looking_loss, wanted_attention

SHARES = torch.tensor([[0.5, 0.5, 1.0, 0.2, 0.8, 0.3]])
OBJECTS = torch.tensor([[1, 1, 2, 3, 3, 0]])


@pytest.mark.parametrize(("bits", "number"), [(0, 0), (0b10, 1), (0b1010, 2), (0b1110, 3)])
def test_the_first_token_keeps_less_the_more_objects_there_are(bits: int, number: int) -> None:
    wanted = wanted_attention(SHARES, OBJECTS, torch.tensor([bits]), start=2, length=12)
    assert wanted.sum().item() == pytest.approx(1)
    assert wanted[0, 0].item() == pytest.approx(SINK / (SINK + number))
    for patch, owner in enumerate(OBJECTS[0].tolist()):
        has_name = owner > 0 and bits >> owner & 1
        assert wanted[0, 2 + patch].item() == pytest.approx(SHARES[0, patch].item() * has_name / (SINK + number))


def test_a_head_that_is_taught_looks_there_in_the_model_itself() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, intermediate_size=32,
        vocab_size=16,
    )  # fmt: skip
    decoder = LlamaModel(config)
    decoder.set_attn_implementation("eager")
    embeds = torch.randn(1, 10, 32)
    positions = torch.arange(10)[None]
    mask = torch.full((10, 10), torch.finfo(torch.float32).min).triu(1)[None, None]
    wanted = wanted_attention(SHARES, OBJECTS, torch.tensor([0b110]), start=2, length=10)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=1e-2)

    def run(*, attentions: bool = False):
        return decoder(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False,
            output_hidden_states=True, output_attentions=attentions,
        )  # fmt: skip

    def loss() -> tuple[torch.Tensor, dict[str, float]]:
        names = (torch.tensor([0]), torch.tensor([9]))
        looked = looked_at(decoder, run().hidden_states[1], positions, mask, names)
        return looking_loss(looked, SHARES, OBJECTS, torch.tensor([0b110]), start=2)

    before = loss()[1]
    for _ in range(80):
        optimizer.zero_grad()
        loss()[0].backward()
        optimizer.step()
    after = loss()[1]
    assert after["looking_loss"] < 0.05 < before["looking_loss"]
    assert after["looking_accuracy"] == 1
    # The loss computes the attention by itself: it must be the one that the model uses.
    assert torch.allclose(run(attentions=True).attentions[1][0, 0, 9], wanted[0], atol=0.15)
    assert run(attentions=True).attentions[1][0, 0, 9, 0].item() == pytest.approx(wanted[0, 0].item(), abs=0.05)


@pytest.mark.parametrize(
    ("first", "second", "elsewhere", "right"),
    [(1.0, 1.0, 0.0, True), (0.7, 1.0, 0.0, True), (0.4, 1.0, 0.0, False), (1.0, 1.0, 0.6, False)],
)
def test_each_object_is_to_get_its_part_whole_and_nothing_else_any(
    first: float, second: float, elsewhere: float, right: bool
) -> None:
    def loss(*parts: float) -> tuple[torch.Tensor, dict[str, float]]:
        one, two, other = parts
        looks = torch.tensor([[SINK, 1e-9, one / 2, one / 2, two, 1e-9, 1e-9, other + 1e-9]])
        return looking_loss((looks / looks.sum()).log(), SHARES, OBJECTS, torch.tensor([0b110]), start=2)

    found, told = loss(first, second, elsewhere)
    assert told["looking_accuracy"] == right
    best, _ = loss(1.0, 1.0, 0.0)
    assert best.item() < 0.01
    assert found.item() >= best.item()
    if (first, second, elsewhere) != (1.0, 1.0, 0.0):
        assert found.item() > 10 * best.item()


@pytest.mark.parametrize(("likely", "part"), [(0.25, 0.0), (0.75, 1.0)])
def test_what_may_have_the_name_is_looked_at_whole_or_not_at_all(likely: float, part: float) -> None:
    score = torch.tensor(0.5).log().requires_grad_()
    optimizer = torch.optim.Adam([score], lr=0.05)
    named = torch.tensor([0b110]), torch.tensor([0b010])
    for _ in range(300):
        # The first object has the name; the second, of one patch, has it in so many cases.
        scores = [
            torch.tensor(SINK).log(),
            *torch.tensor([1e-9, 0.5, 0.5]).log(),
            score,
            *[torch.tensor(1e-9).log()] * 3,
        ]
        looked = torch.stack(scores)[None].log_softmax(-1)
        both, one = (looking_loss(looked, SHARES, OBJECTS, bits, start=2)[0] for bits in named)
        optimizer.zero_grad()
        (likely * both + (1 - likely) * one).backward()
        optimizer.step()
    assert score.exp().item() == pytest.approx(part, abs=0.1)


def test_where_nothing_is_named_nothing_is_lost() -> None:
    looked = torch.zeros(0, 8, requires_grad=True)
    loss, told = looking_loss(looked, SHARES[:0], OBJECTS[:0], torch.zeros(0, dtype=torch.long), start=2)
    loss.backward()
    assert (loss.item(), told) == (0.0, {"looking_loss": 0.0, "looking_accuracy": 0.0})
