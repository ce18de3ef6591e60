"""Prints the conversation that README.md shows, as the embedded model has it: `make chat-session`.

It is what `cot chat examples/garden.png` prints for these messages, with each message in front of its answer. Times
and speeds are those of the machine. Nothing is kept.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from rich.console import Console

from cot.chat import Session
from cot.chat.screen import Screen
from cot.chat.store import Store
from cot.chat.take import take
from cot.cli.ask import load_engine
from cot.settings import Settings

MESSAGES = (
    "garden.png",
    "Is the cat below the tree?",
    "/strategy decompose",
    "Are there more tulips than cats?",
    "How many butterflies are there?",
    "/stats",
)


def main() -> None:
    """Say all messages, and print what comes back."""
    os.chdir(Path(__file__).resolve().parent)
    console = Console(width=100, color_system=None, markup=False, highlight=False, emoji=False)
    screen = Screen(console)
    with tempfile.TemporaryDirectory(prefix="cot-") as folder:
        # Not the user's settings, so that the session is the same everywhere.
        settings = Settings(trace_dir=Path(folder) / "traces")
        session = Session(settings, load_engine, Store(Path(folder)), lambda event: screen.show(event, session.detail))
        try:
            for message in MESSAGES:
                console.print(f"> {message}")
                asyncio.run(take(session, message))
        finally:
            session.close()


if __name__ == "__main__":
    main()
