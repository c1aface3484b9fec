"""A real browser for pages that scripts change: Chromium without a window, where one is installed."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), "")

needs_browser = pytest.mark.skipif(not _CHROMIUM, reason="no Chromium is installed")


def after_script(page: str, script: str, folder: Path) -> str:
    """Return the HTML of a page after a script that stands at its end has run."""
    acted = folder / "acted.html"
    acted.write_text(page.replace("</html>", "") + f"<script>{script}</script></html>", encoding="utf-8")
    alone = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    command = [_CHROMIUM, *alone, "--virtual-time-budget=20000", "--dump-dom", acted.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Tab:
    """One tab of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self.problems: list[str] = []
        """What the browser's console says is wrong."""
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Return what a command of the protocol returns."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.problems.append(json.dumps(message["params"]))
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    def run(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str, seconds: float = 120) -> None:
        """Wait until an expression in the page is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, (condition, self.run("document.body.innerText"), self.problems)
            time.sleep(0.05)

    def open(self, address: str) -> None:
        """Open a page and wait for it."""
        self.command("Page.navigate", url=address)
        self.wait_for(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def write(self, text: str) -> None:
        """Write where the focus is."""
        self.command("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key."""
        codes = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}
        code, text = codes[key]
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def picture(self, file: Path, width: int, height: int, dark: bool = False) -> None:
        """Write what is seen at a size, as a PNG."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        file.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))


@contextmanager
def browsing(folder: Path) -> Iterator[Tab]:
    """Open a browser, with its files in a folder, until the block ends."""
    profile = folder / "profile"
    command = [
        _CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0",
        f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert process.stderr is not None
        found = next(found for line in process.stderr if (found := re.search(r"listening on ws://([^/]+)/", line)))
        targets = httpx.get(f"http://{found[1]}/json", timeout=60).json()
        address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        with connect(address, max_size=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait(60)
        process.stderr and process.stderr.close()
        shutil.rmtree(profile, ignore_errors=True)
