"""Keeps images beside what was recorded: `<folder>/images/<sha256>.png`, 8-bit RGB, without metadata.

In: an image and a folder. Out: a file, whole or not at all. All runs of a folder of traces that show one image share
one file on disk, by hard links to `<trace_dir>/images/`: each run's folder is whole by itself, and may be copied or
deleted. Where the file system has no such links, each run has its own file.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from cot.image import LoadedImage

IMAGES_FOLDER: Final = "images"


def image_path(folder: Path, sha256: str) -> Path:
    """Where the image with these pixels lies beside what was recorded in a folder."""
    return folder / IMAGES_FOLDER / f"{sha256}.png"


def keep_image(folder: Path, image: LoadedImage, *, shared: Path | None = None) -> Path:
    """Keep an image beside what is recorded in a folder, once; a killed process leaves none that is half.

    shared: a folder whose images are kept for all that name it. Raises OSError.
    """
    path = image_path(folder, image.sha256)
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    common = image_path(shared, image.sha256) if shared else None
    if common:
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
        with contextlib.suppress(OSError):
            common.parent.mkdir(exist_ok=True)
            os.link(path, common)
    return path
