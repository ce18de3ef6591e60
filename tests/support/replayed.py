"""Replays every trace that a test makes, as soon as it is closed, and holds its header to its calls."""

import asyncio
import threading
from pathlib import Path

from cot.replay import replay
from cot.trace.event import JUDGE_STEP
from cot.trace.read import read_trace
from cot.trace.record import Recorder


class Replays:
    """In place of `Recorder.close`. differences: of traces that came to something else, or asked with a template that
    they did not begin with, each with its path."""

    def __init__(self) -> None:
        self.count = 0
        self.differences: list[str] = []
        self._close = Recorder.close

    def close(self, recorder: Recorder) -> None:
        """Close the trace and replay it; a run that was not finished has no answer to come to."""
        self._close(recorder)
        made_by_replay = recorder.folder.parent.name.startswith("cot-replay-")
        if made_by_replay or not recorder.path.exists():
            return
        # A thread of its own, since the caller may be in an event loop.
        thread = threading.Thread(target=self._replay, args=(recorder.path,))
        thread.start()
        thread.join()

    def _replay(self, path: Path) -> None:
        try:
            trace = read_trace(path)
            # Who interrupted a run, or a fault of the program, left it without an answer to come to again; and what was
            # left out cannot be asked again.
            if trace.started is None or trace.finished is None or trace.finished.answer is None or trace.left_out:
                return
            self.count += 1
            asked = {(call.template, call.template_sha256) for call in trace.calls if call.step != JUDGE_STEP}
            strange = asked - set(trace.started.templates.items())
            self.differences += [f"{path}: {name} is not in its header" for name, _ in strange]
            found = asyncio.run(replay(trace))
            self.differences += [f"{path}: {difference}" for difference in found.differences]
        except Exception as error:
            self.differences.append(f"{path}: {error!r}")
