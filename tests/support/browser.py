"""A headless Chromium that a test drives over pipes, by the Chrome DevTools Protocol."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)


class Browser:
    """One page. errors: what the console or the page complained of. requests: what was asked for beside the page."""

    def __init__(self) -> None:
        commands_in, self._commands = os.pipe()
        self._events, events_out = os.pipe()
        chromium = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        # The protocol wants the pipes as 3 and 4.
        shell = ["bash", "-c", f'exec "$@" 3<&{commands_in} 4>&{events_out}', "bash", *chromium]
        self._process = subprocess.Popen(
            shell, pass_fds=(commands_in, events_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands_in)
        os.close(events_out)
        self._buffer = b""
        self._count = 0
        self._session = ""
        self._loaded = False
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")

    def open(self, page: Path) -> None:
        """Open a file, and wait until it is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._take()

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for what it gives."""
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._count, "method": method, "params": parameters, **session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._take()).get("id") != self._count:
            pass
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)
        os.close(self._events)
        self._process.kill()
        self._process.wait()

    def _take(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._events, 1 << 16)
            assert piece, "the browser ended"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        given = found.get("params", {})
        match found.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(str(given["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning", "assert"):
                self.errors.append(str(given["args"]))
            case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
                self.errors.append(given["entry"]["text"])
            case "Network.requestWillBeSent" if not given["request"]["url"].startswith("data:"):
                self.requests.append(given["request"]["url"])
        return found
