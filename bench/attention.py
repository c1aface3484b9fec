"""Draw what every head of SmolLM2-135M-Instruct looks at in one sentence, and name heads by scores on other sentences.

    python -m bench.attention MODEL      MODEL: folder that `scratchlm import` wrote

Writes notes/figures/attention.svg and bench/results/attention.json. The sentence is from Alice's Adventures in
Wonderland (Lewis Carroll, 1865). The others are drawn from the books of the data folder, one of a book at most, and cut
to equal length. They are not held out: what the published model was trained on is not known.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from bench.store import data_file, write

from scratchlm.base.files import write_text
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.inspection.drawing import Enlarged, attention_picture
from scratchlm.inspection.heads import Head
from scratchlm.inspection.patterns import (
    AGAIN,
    FIRST,
    INDUCTION,
    NAMED,
    PREVIOUS,
    SAME,
    best_head,
    name_heads,
    pattern_scores,
    uniform_score,
)
from scratchlm.inspection.trace import attention_maps
from scratchlm.lab.harness.settings import BOOKS

SENTENCE = "Soup of the evening, beautiful Soup! Soup of the evening, beautiful Soup!"
SENTENCES, LENGTH, SEED = 100, 24, 0
FIGURE = Path(__file__).parent.parent / "notes" / "figures" / "attention.svg"


def sentences(path: Path, seed: int) -> Iterator[str]:
    """Yield one sentence of each book, in an order that the seed decides, without the book of `SENTENCE`."""
    draw = random.Random(seed)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    draw.shuffle(rows)
    for row in rows:
        text = " ".join(row["text"].split())
        found = re.findall(r"(?<=[.!?] )[A-Z][^.!?]{80,200}[.]", text)
        if found and "Soup of the evening" not in text:
            yield draw.choice(found)


def main() -> None:
    """Score, draw and write."""
    model = load(Path(sys.argv[1]), "cpu")
    rows = (model.tokenizer.encode(sentence)[:LENGTH] for sentence in sentences(data_file(BOOKS), SEED))
    whole = [row for row in rows if len(row) == LENGTH][:SENTENCES]
    scores = pattern_scores(model.decoder, torch.tensor(whole))
    names = name_heads(scores)
    counts = {pattern: int((scores[pattern] > NAMED).sum()) for pattern in (FIRST, PREVIOUS, SAME, INDUCTION)}
    best = {pattern: best_head(scores, pattern) for pattern in counts}
    (layer, head), _ = best[INDUCTION]
    result = {
        "sentences": len(whole), "tokens": LENGTH, "seed": SEED, "named_above": NAMED,
        "heads": scores[FIRST].numel(), "uniform": round(uniform_score(LENGTH), 4), "counts": counts,
        "best": {name: [f"{of[0] + 1}.{of[1] + 1}", round(score, 4)] for name, (of, score) in best.items()},
        "induction_head_on_first": [round(float(scores[name][layer, head]), 4) for name in (FIRST, AGAIN)],
        "scores": {name: [[round(x, 4) for x in row] for row in each.tolist()] for name, each in scores.items()},
    }  # fmt: skip
    write("attention", result)
    draw(model, result, names, {name: of for name, (of, _) in best.items()})


def draw(model: LanguageModel, result: dict[str, Any], names: dict[Head, str], best: dict[str, Head]) -> None:
    """Write the figure."""
    ids = model.tokenizer.encode(SENTENCE)
    maps = [layer[0] for layer in attention_maps(model.decoder, torch.tensor([ids]))]
    tokens = [model.tokenizer.decode([id]).strip() for id in ids]
    large = [
        Enlarged(best[name], name, f"{result['best'][name][1]:.1%} on average")
        for name in (FIRST, PREVIOUS, SAME, INDUCTION)
    ]
    count, heads = result["counts"][FIRST], result["heads"]
    title = f"{count} of {heads} attention heads look mostly at the first token"
    lines = [
        f"SmolLM2-135M-Instruct reads “{SENTENCE}”",
        "In each square, a row is the token that looks and a column the token it looks at; a stronger colour is more "
        "attention.",
        f"A head has the colour of a pattern that takes over {NAMED:.0%} of its attention, on average over "
        f"{result['sentences']} other sentences.",
        "Same token and induction are scored where the sentence is given a second time. "
        "Large: the best head of each pattern.",
    ]
    write_text(FIGURE, attention_picture(maps, tokens, names, result["counts"], large, title, lines))


if __name__ == "__main__":
    main()
