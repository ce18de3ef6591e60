"""Muon in float32 is torch's in bfloat16, but for what that rounds away."""

import copy
from typing import Any

import pytest
import torch

from cot.train.muon import Float32Muon, orthogonalized

SHAPES = [(96, 24), (24, 96), (48, 48)]


@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original", None])
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_torch(adjust: str | None, nesterov: bool) -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = copy.deepcopy(ours)
    settings: dict[str, Any] = {
        "lr": 0.1,
        "weight_decay": 0.3,
        "momentum": 0.8,
        "nesterov": nesterov,
        "adjust_lr_fn": adjust,
    }
    optimizers = [Float32Muon(ours, **settings), torch.optim.Muon(theirs, **settings)]
    for _ in range(4):
        before = [matrix.detach().clone() for matrix in theirs]
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        for one, other, start in zip(ours, theirs, before, strict=True):
            assert (one - other).norm() < 0.02 * (other - start).norm()
            one.data.copy_(other)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    for index in range(len(SHAPES)):
        assert states[0][index].keys() == states[1][index].keys() == {"momentum_buffer"}
        assert torch.equal(states[0][index]["momentum_buffer"], states[1][index]["momentum_buffer"])


@pytest.mark.parametrize(("first", "second"), [(Float32Muon, torch.optim.Muon), (torch.optim.Muon, Float32Muon)])
def test_one_goes_on_from_the_state_of_the_other(first: type[torch.optim.Muon], second: type[torch.optim.Muon]) -> None:
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(16, 8))
    matrix.grad = torch.randn_like(matrix)
    begun = first([matrix], lr=0.1, adjust_lr_fn="match_rms_adamw")
    begun.step()
    further = second([matrix], lr=0.5)
    further.load_state_dict(begun.state_dict())
    assert further.param_groups[0]["lr"] == 0.1
    kept = matrix.detach().clone()
    begun.step()
    changed = matrix.detach().clone()
    matrix.data.copy_(kept)
    further.step()
    assert (matrix - changed).norm() < 0.02 * (changed - kept).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_out_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    found = orthogonalized(torch.randn(shape), (3.4445, -4.7750, 2.0315), 5, 1e-7)
    assert found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert 0.3 < values.min() < values.max() < 1.3


def test_a_closure_and_what_has_no_gradient() -> None:
    matrix, idle = torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(2, 2))
    optimizer = Float32Muon([matrix, idle], lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = matrix.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 6
    assert (matrix < 1).all()
    assert torch.equal(idle, torch.ones(2, 2))
    assert optimizer.step() is None
