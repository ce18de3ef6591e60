"""Opens the images of samples, once for all questions about them, and as an ablation shows them."""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cot.evaluate.ablation import Ablation, altered
from cot.image import DEFAULT_LIMITS, ImageLimits, LoadedImage, load_image
from cot.task import ImageSource

REMEMBERED_IMAGES: Final = 16
"""Opened images that are kept, for the other questions about them."""

Images = Callable[[ImageSource], LoadedImage]


class _Named(io.BytesIO):
    """Bytes of a file, with the name that messages give them."""

    name = "image of the data"


def image_opener(limits: ImageLimits = DEFAULT_LIMITS, ablation: Ablation | None = None, seed: int = 0) -> Images:
    """Opens images within the bounds, as the ablation shows them, and remembers the last few. Raises ImageError."""

    @lru_cache(maxsize=REMEMBERED_IMAGES)
    def opened(source: ImageSource) -> LoadedImage:
        return altered(load_image(_Named(source) if isinstance(source, bytes) else source, limits), ablation, seed)

    return opened
