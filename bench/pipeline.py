"""Measure the tokenizer, the start-up time of the command and the memory of `prepare`.

    python bench/pipeline.py [TEXT.jsonl]     20 MB of it, or of storyworld; medians of five

Results go to bench/results/pipeline.json and, as a table, to stdout.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

from scratchlm.base.device import machine
from scratchlm.base.statistics import spread
from scratchlm.cli import first_words
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source
from scratchlm.tokens import bpe
from scratchlm.tokens.fast import FastBPE

BYTES = 20_000_000


def texts(source: str) -> list[str]:
    """Return about 20 MB of documents."""
    kept, size = [], 0
    for document in open_source(source).documents(Counts()):
        kept.append(document.text)
        size += len(document.text.encode("utf-8"))
        if size >= BYTES:
            break
    return kept


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Time `work` several times and return the median."""
    return spread(timeit.repeat(work, gc.enable, number=1, repeat=repeats)).median


def help_seconds() -> Iterator[tuple[str, float]]:
    """Yield the median time of each command's --help, in its own process."""
    for command in ["", *first_words()]:
        words = [word for word in (command, "train" if command == "tokenizer" else "", "--help") if word]
        command = [sys.executable, "-m", "scratchlm", *words]
        seconds = median_seconds(lambda c=command: subprocess.run(c, capture_output=True, check=True))
        yield f"scratchlm {' '.join(words)}", seconds


def prepare_peak(size: int) -> tuple[float, float]:
    """Prepare a text file of `size` bytes in its own process; return its peak memory in MB and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.txt"
        block = "".join(document.text + "\n" for document in open_source("storyworld:4MB").documents(Counts()))
        with path.open("w", encoding="utf-8") as file:
            while file.tell() < size:
                file.write(block)
        arguments = ["prepare", str(path), "--out", str(Path(folder) / "out"), "--split", "tail:0.01"]
        # The child reports its own peak: the one that the parent sees starts at the parent's size.
        code = (
            "import sys; from pathlib import Path; from scratchlm.cli import main; main(sys.argv[1:]); "
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        )
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
    return int(done.stdout.split()[-1]) / 1024, seconds


def main() -> None:
    """Measure everything and write the results."""
    source = sys.argv[1] if len(sys.argv) > 1 else f"storyworld:{BYTES}"
    documents = texts(source)
    size = sum(len(text.encode("utf-8")) for text in documents)
    figures: dict[str, float] = {}
    figures["train 8,192 tokens on 20 MB, s"] = median_seconds(lambda: FastBPE.train(documents, 8192))
    tokenizer = FastBPE.train(documents, 8192)
    for threads in (1, 2):
        seconds = median_seconds(lambda n=threads: tokenizer.encode_batch(documents, n))
        figures[f"encode on {threads} threads, MB/s"] = size / 1e6 / seconds
    megabyte = ["".join(documents)[:1_000_000]]
    figures["readable BPE, 1 MB, 1,024 tokens, s"] = median_seconds(lambda: bpe.train(megabyte, 1024), 3)
    for name, seconds in help_seconds():
        figures[f"{name}, s"] = seconds
    if Path("/proc/self/status").exists() and "--large" in sys.argv:
        figures["prepare 2 GB, peak MB"], figures["prepare 2 GB, s"] = prepare_peak(2_000_000_000)
    result = {"machine": machine(), "source": Path(source).name, "figures": figures}
    path = Path(__file__).parent / "results" / "pipeline.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, value in figures.items():
        print(f"| {name} | {value:.2f} |")


if __name__ == "__main__":
    main()
