"""Muon in float32, for machines where bfloat16 is slow. Takes and leaves the state that `torch.optim.Muon` does."""

import math
from collections.abc import Callable
from typing import overload

import torch


class Float32Muon(torch.optim.Muon):
    """`torch.optim.Muon` (Jordan et al. 2024), which multiplies in bfloat16 on every device, in float32 throughout."""

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change every matrix that has a gradient; a closure is called first, and its loss given back."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                mean = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                update = orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * _rate_factor(matrix, group["adjust_lr_fn"]))
        return loss


def orthogonalized(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """About U V^T of a matrix U S V^T, in its own precision: singular values come out between 0.5 and 1.5 or so.

    Newton-Schulz steps X <- aX + (bG + cGG) X with G = X X^T, as `torch.optim._muon` of torch 2.13 takes them.
    """
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.T if tall else found


def _rate_factor(matrix: torch.Tensor, adjust: str | None) -> float:
    """What the rate is multiplied by: for updates of AdamW's size (Liu et al. 2025), or as Jordan has it."""
    rows, columns = matrix.shape
    return 0.2 * math.sqrt(max(rows, columns)) if adjust == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
