"""Runs a recorded question again: from what the model said then, or, by what it gives, with another model."""

from cot.replay.recorded import begun, recorded_budget, recorded_language, recorded_question
from cot.replay.run import Replay, replay

__all__ = ["Replay", "begun", "recorded_budget", "recorded_language", "recorded_question", "replay"]
