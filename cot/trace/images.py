"""Keeps images beside what was recorded: `<folder>/images/<sha256>.png`, 8-bit RGB, without metadata.

In: an image and a folder. Out: a file, whole or not at all, and what a trace says of the image. All runs of a folder
of traces that show one image share one file on disk, by hard links to `<trace_dir>/images/`: each run's folder is whole
by itself, and may be copied or deleted. Where the file system has no such links, each run has its own file.
"""

import contextlib
import dataclasses
import os
import secrets
from pathlib import Path
from typing import Final

from cot.image import HARD_MAX_PIXELS, ImageLimits, LoadedImage, Original
from cot.png import PNG_END
from cot.trace.event import OriginalImage, TracedImage

IMAGES_FOLDER: Final = "images"

KEPT: Final = ImageLimits(max_bytes=4 * HARD_MAX_PIXELS, max_pixels=HARD_MAX_PIXELS)
"""Of copies that were kept: what could be asked about can be opened again, whatever the settings are by now. A PNG of a
photograph takes several times the bytes of the file it came from."""


def described(image: LoadedImage) -> TracedImage:
    """An image without its pixels. What UTF-8 cannot hold of its texts becomes escapes."""
    source, *notes = (text.encode("utf-8", "backslashreplace").decode() for text in (image.source, *image.notes))
    original = OriginalImage(**vars(image.original)) if image.original else None
    return TracedImage(
        source=source, sha256=image.sha256, width=image.width, height=image.height, notes=tuple(notes),
        original=original,
    )  # fmt: skip


def restored(image: LoadedImage, traced: TracedImage) -> LoadedImage:
    """An image that was read from where it was kept, with what was known of it when it was."""
    original = Original(**vars(traced.original)) if traced.original else None
    return dataclasses.replace(image, source=traced.source, notes=traced.notes, original=original)


def image_path(folder: Path, sha256: str) -> Path:
    """Where the image with these pixels lies beside what was recorded in a folder."""
    return folder / IMAGES_FOLDER / f"{sha256}.png"


def keep_image(folder: Path, image: LoadedImage, *, shared: Path | None = None, anew: bool = False) -> Path:
    """Keep an image beside what is recorded in a folder, once; a killed process leaves none that is half.

    shared: a folder whose images are kept for all that name it, unless they are kept behind a link, which may lead out
    of it. anew: write it also where there is one, which may be damaged. Raises OSError.
    """
    path = image_path(folder, image.sha256)
    if path.exists() and not anew:
        return path
    path.parent.mkdir(exist_ok=True)
    common = image_path(shared, image.sha256) if shared and not (shared / IMAGES_FOLDER).is_symlink() else None
    if common and _is_whole(common):
        with contextlib.suppress(OSError):
            os.link(common, path)
            return path
    # Its own name, since two processes may be keeping the same image.
    half = path.with_name(f"{image.sha256}.{secrets.token_hex(4)}.part")
    try:
        half.write_bytes(image.to_png())
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise
    if common:
        _share(path, common)
    return path


def _is_whole(path: Path) -> bool:
    """Whether the end of an image is there. After a power cut a file may have its name and not what was written."""
    try:
        with path.open("rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except OSError:
        return False


def _share(path: Path, common: Path) -> None:
    """Give an image its name among the shared ones, where the file system can; a damaged one loses it."""
    with contextlib.suppress(OSError):
        if not _is_whole(common):
            common.unlink(missing_ok=True)
        try:
            os.link(path, common)
        except FileNotFoundError:
            common.parent.mkdir(exist_ok=True)
            os.link(path, common)
