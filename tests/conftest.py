"""What holds for every test: no hub, and no settings of whoever runs them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before any test imports transformers, which reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes, and making it, tells of the machine and what else runs there.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the user's folders at an empty one, and drop the `COT_*` variables."""
    home = tmp_path_factory.mktemp("home")
    for variable, folder in (("XDG_CONFIG_HOME", ".config"), ("XDG_STATE_HOME", ".local/state")):
        monkeypatch.setenv(variable, str(home / folder))
    for variable in list(os.environ):
        if variable.startswith("COT_"):
            monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _traces_replay(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replay each trace that a test makes; it comes to the same, or the mark `no_replay` says why not."""
    if "cot.trace.record" not in sys.modules or request.node.get_closest_marker("no_replay"):
        yield
        return
    from replayed import Replays

    from cot.trace.record import Recorder

    replays = Replays()
    monkeypatch.setattr(Recorder, "close", lambda recorder: replays.close(recorder))
    yield
    assert not replays.differences
