"""Requests made up from the server's own description: each is answered as described, and the server stays up."""

from __future__ import annotations

import pytest

from served import Server

pytestmark = pytest.mark.slow


def test_whatever_the_description_allows_is_answered_as_it_says(server: Server, tmp_path) -> None:
    import subprocess
    import sys

    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--max-examples", "60",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance", "--seed", "1",
        "--request-timeout", "60", "--phases", "coverage,fuzzing", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert server.idle()
