"""A real browser for pages that scripts change: Chromium without a window, where one is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), "")

needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")


def after_script(page: str, script: str, folder: Path) -> str:
    """Return the HTML of a page after a script that stands at its end has run."""
    acted = folder / "acted.html"
    acted.write_text(page.replace("</html>", "") + f"<script>{script}</script></html>", encoding="utf-8")
    alone = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    command = [CHROMIUM, *alone, "--virtual-time-budget=20000", "--dump-dom", acted.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
