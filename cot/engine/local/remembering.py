"""An image processor that does not process the same images twice.

In: images and settings, as a transformers processor passes them. Out: what the image processor makes of them,
from memory if it made it lately. The images are known by their pixels.
"""

import hashlib
from collections.abc import Hashable, Iterator
from typing import Any

from PIL import Image
from transformers import BatchFeature

from cot.engine.local.memory import Memory

MAX_BYTES = 128 * 2**20
"""Memory for what is remembered."""


class RememberingImages:
    """Stands in for an image processor; everything but calls goes through to it."""

    def __init__(self, inner: Any):
        self._inner = inner
        self._known: Memory[Hashable, dict[str, Any]] = Memory(MAX_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, images: Any, *args: Any, **settings: Any) -> Any:
        """What the image processor gives for these images."""
        listed = list(_flat(images))
        if args or not all(isinstance(image, Image.Image) for image in listed):
            return self._inner(images, *args, **settings)
        key = (_shape(images), *map(_digest, listed), repr(sorted(settings.items())))
        made = self._known.get(key)
        if made is None:
            made = dict(self._inner(images, **settings))
            self._known.put(key, made, sum(getattr(value, "nbytes", 0) for value in made.values()))
        return BatchFeature(dict(made))


def _flat(images: Any) -> Iterator[Any]:
    """Images of nested lists, in order."""
    if isinstance(images, list | tuple):
        for part in images:
            yield from _flat(part)
    else:
        yield images


def _shape(images: Any) -> Hashable:
    """How the lists are nested."""
    return tuple(map(_shape, images)) if isinstance(images, list | tuple) else None


def _digest(image: Image.Image) -> Hashable:
    return image.mode, image.size, hashlib.sha256(image.tobytes()).digest()
