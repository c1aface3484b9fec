"""Nothing here runs on Windows, which has no pseudo-terminals."""

import sys

collect_ignore_glob = ["test_*"] if sys.platform == "win32" else []
