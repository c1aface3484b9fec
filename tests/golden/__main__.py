"""Record what the package computes, or compare it with what was recorded: a refactoring must change no number.

    python -m tests.golden record before.json
    python -m tests.golden compare before.json

Everything runs through commands, in fp32 on one thread, so a record made by older code can be compared with newer
code. Processors with AVX-512 take the instructions of those with AVX2 alone, so that one record serves both as far as
their libraries allow; on other kinds of machine the last bits differ.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"  # before torch is imported: a process with threads is not to be forked
os.environ |= {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NUMBA_CPU_NAME": "haswell",
}

from tests.golden.compared import differences  # noqa: E402
from tests.golden.measures import PARTS, measure  # noqa: E402


def main() -> int:
    """Record or compare; return 1 where something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path, help="where the record is written to or read from")
    parser.add_argument(
        "--only", nargs="*", choices=sorted(PARTS), help="parts to run; else all, or those of the record"
    )
    arguments = parser.parse_args()
    record = json.loads(arguments.file.read_text(encoding="utf-8")) if arguments.action == "compare" else PARTS
    with tempfile.TemporaryDirectory(prefix="scratchlm-golden.") as folder:
        measured = measure(Path(folder), arguments.only or sorted(record.keys() & PARTS))
    count = sum(len(part) for part in measured.values())
    if arguments.action == "record":
        arguments.file.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{count} entries in {arguments.file}")
        return 0
    wrong = differences(record, measured)
    print("\n".join(wrong) or f"{count} entries are equal", flush=True)
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
