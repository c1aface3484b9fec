"""Lists the files of slow tests that a change can break: `git diff --name-only COMMIT | python -m tests.affected`."""

from __future__ import annotations

import sys

from tests.affected.changes import ROOT, affected

if __name__ == "__main__":
    print("\n".join(path.relative_to(ROOT).as_posix() for path in affected(sys.stdin)))
