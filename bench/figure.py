"""Draw the README's figure from the folder of a quickstart: bits per byte on held-out text against steps, as SVG.

python bench/figure.py quickstart docs/quickstart.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from scratchlm.base.files import read_json, write_text
from scratchlm.base.runlog import read_log
from scratchlm.lab.harness.outcome import Curves
from scratchlm.lab.harness.plots import as_svg


def main() -> None:
    """Read the folder named first and write the file named second."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    looks = [record for record in read_log(folder / "metrics.jsonl") if record["kind"] == "evaluation"]
    steps, bits = ([look[key] for look in looks] for key in ("step", "bits_per_byte"))
    ngram = read_json(folder / "quickstart.json")["ngram_bits_per_byte"]
    lines = {"the model": (steps, bits), f"5-gram model, {ngram:.2f}": ([0, steps[-1]], [ngram, ngram])}
    write_text(out, as_svg(Curves("", f"optimizer steps, {steps[-1]} in all", "bits per byte on held-out text", lines)))


if __name__ == "__main__":
    main()
