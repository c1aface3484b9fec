"""Kneser-Ney of order 5 on ten megabytes of books: seconds, memory, bits per byte, and kenlm's on the same tokens.

    KENLM=FOLDER python -m bench.ngrams      FOLDER holds kenlm's programs lmplz and query; optional

Both count the same ids, each book a document, and are scored on the same held-out books. kenlm stores 32-bit numbers
and reserves probability for unknown words, which this package does not need. kenlm's seconds include writing its ARPA
file.
Results go to bench/results/ngrams.json.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench.store import data_file, write

from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.lab.harness.settings import BOOKS
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.booktext import BookText, book_text

BYTES, VOCABULARY, ORDER = 10_000_000, 4096, 5


def prepared(folder: Path) -> BookText:
    """Prepare the books, or open an earlier preparation."""
    return book_text(data_file(BOOKS), BYTES, VOCABULARY, Steps(folder, "bench"))


def scratchlm_model(folder: Path) -> dict[str, float]:
    """Count and score in this process; return seconds, peak memory and bits per byte."""
    text = prepared(folder)
    before = _peak()
    started = time.perf_counter()
    model = KneserNey.fit(text.documents(text.train), text.tokenizer.vocabulary_size, ORDER)
    counted = time.perf_counter()
    nats = [-model.token_log_probabilities(row)[1:].sum() for row in text.documents(text.held_out)]
    ended = time.perf_counter()
    return {
        "seconds": counted - started,
        "score_seconds": ended - counted,
        "peak_megabytes": _peak(),
        "peak_before_megabytes": before,
        "bits_per_byte": float(np.sum(nats)) / math.log(2) / text.held_out_bytes,
        "tokens": len(text.train),
    }


def _peak() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def kenlm_model(folder: Path, programs: Path) -> dict[str, float]:
    """Count and score the same documents with kenlm, with ids as words; return seconds and bits per byte."""
    text = prepared(folder)
    for name, side in (("train", text.train), ("held-out", text.held_out)):
        (folder / f"{name}.txt").write_text(_lines(text.documents(side), text.end), encoding="ascii")
    started = time.perf_counter()
    with (folder / "train.txt").open() as given, (folder / "model.arpa").open("w") as taken:
        subprocess.run(
            [programs / "lmplz", "-o", str(ORDER), "-S", "2G", "-T", folder, "--discount_fallback"],
            stdin=given, stdout=taken, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    with (folder / "held-out.txt").open() as given:
        command = [programs / "query", "-v", "sentence", folder / "model.arpa"]
        printed = subprocess.run(command, stdin=given, capture_output=True, text=True, check=True).stdout
    logs = [float(found) for found in re.findall(r"Total: (-?[\d.e+]+) OOV", printed)]
    return {"seconds": seconds, "bits_per_byte": -sum(logs) * math.log2(10) / text.held_out_bytes}


def _lines(documents: Sequence[np.ndarray], end: int) -> str:
    """Write each document as a line of its ids; kenlm adds its own symbols for the ends of a line."""
    return "".join(" ".join(str(id) for id in row[1:] if id != end) + "\n" for row in documents)


def main() -> None:
    """Measure this package in its own process, then kenlm."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder)
        command = [sys.executable, "-m", "bench.ngrams", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result: dict[str, Any] = {"task": f"Kneser-Ney, order {ORDER}, {BYTES / 1e6:g} MB of books"}
        result["scratchlm"] = json.loads(done.stdout.splitlines()[-1])
        if os.environ.get("KENLM"):
            result["kenlm"] = kenlm_model(folder, Path(os.environ["KENLM"]))
            result["ratio_of_bits"] = result["scratchlm"]["bits_per_byte"] / result["kenlm"]["bits_per_byte"]
    write("ngrams", result)
    print(result)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(scratchlm_model(Path(sys.argv[1]))))
    else:
        main()
