"""The bound of arithmetic: how long the products of an evaluation would take at the machine's best speed.

In: a model, one prompt of it, and how much was asked. Out: floating-point operations, and how many a second the
machine gives where nothing but arithmetic counts. What is less than a product of matrices is not counted.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE: Final = 1024
"""Of the matrices whose product is timed."""
PRODUCTS: Final = 8
TRIES: Final = 12


def best_flops(clock: Callable[[], float]) -> float:
    """Floating-point operations a second in products of large float32 matrices, the best of some tries."""
    left, right = torch.randn(2, SIDE, SIDE)
    return 2 * SIDE**3 * PRODUCTS / min(_seconds(left, right, clock) for _ in range(TRIES))


def needed_flops(model: Any, inputs: Mapping[str, Any], *, images: int, prompt: int, completion: int) -> float:
    """Floating-point operations to encode so many images, and to compute so many tokens of prompts and of answers.

    inputs: of the model, one prompt with one image, from which is told what an image and a token take.
    """
    image = _counted(lambda: model.get_image_features(pixel_values=inputs["pixel_values"]))
    whole = _counted(lambda: model(**inputs, logits_to_keep=1))
    head: int = 2 * model.lm_head.weight.numel()
    token: float = (whole - image - head) / inputs["input_ids"].shape[1]
    return images * image + (prompt + completion) * token + completion * head


def _seconds(left: torch.Tensor, right: torch.Tensor, clock: Callable[[], float]) -> float:
    begun = clock()
    for _ in range(PRODUCTS):
        left @ right
    return clock() - begun


def _counted(compute: Callable[[], object]) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
