"""`cot chat` over a scripted model: `python chat_script.py chat red.png`. A "slow" question takes a minute; with
"seconds" in it, three of them."""

import asyncio
import os
import sys
import time
from typing import Any

from runs import script

import cot.cli
import cot.cli.ask
from cot.engine import Completion, Request, ScriptedEngine

HOSTILE = "\x1b[2J\x1b]0;owned\x07red\u202e" + "x" * 5_000


class SlowEngine(ScriptedEngine):
    async def complete(self, request: Request) -> Completion:
        text = str(request.messages[-1].content[-1])
        if "slow" in text:
            await asyncio.sleep(3 if "seconds" in text else 60)
        return await super().complete(request)


def load(settings: Any) -> SlowEngine:
    time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
    answers = {"How many apples": "3", "How many cars": "1", "hostile": HOSTILE}
    return SlowEngine(script(answers=answers, direct=f"yes from {settings.model}"))


if __name__ == "__main__":
    cot.cli.ask.load_engine = load
    sys.exit(cot.cli.main())
