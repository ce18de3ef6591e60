"""What the name of a model stands for: the embedded one, a checkpoint folder, a server, or else an id of the hub's.

In: a name. Out: what it is, as far as that can be told without asking anybody. It reads no model.
"""

import contextlib
from pathlib import Path

from cot.shipped import weights_folder

EMBEDDED = "embedded"
"""Name of the model that ships."""

CALIBRATION_FILE = "calibration.json"
"""Name of the file in a checkpoint's folder that is read where the user's own says nothing of the model."""


def model_folder(model: str | Path) -> Path | None:
    """The checkpoint folder that a model's name stands for, if there is one. Raises ConfigError as `weights_folder`."""
    if model == EMBEDDED:
        return weights_folder()
    # An unknown home folder, or a name that no folder can have, is no folder either.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        folder = Path(model).expanduser()
        if folder.is_dir():
            return folder
    return None


def is_server(model: str) -> bool:
    """Whether a model's name is the URL of a server."""
    return model.lower().startswith(("http://", "https://"))
