"""What helps where text is short: switches of `pretrain`, each beside the same run without it.

Parts of some books, 100 kB, are read many times by `default` at depth 3, which has eight weights in its blocks for each
token; parts of other books are held out. First lengths and weight decays are tried with a seed of their own, so that
what is compared is tuned. Then each arm trains with several seeds.
An ensemble is made of the runs with the best weight decay, and students learn from it. Two processes of one thread
each train at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.store import data_file

import scratchlm
from scratchlm.base.runfolder import LOG_FILE, MANIFEST_FILE, Evaluation, read_log

BOOKS, CHARACTERS, HELD_OUT = 36, 5_000, 0.45
"""Books, characters of each, and the fraction at the end that is held out."""
VOCABULARY = 512
DEPTH, ROWS, LENGTH = 3, 8, 128
TUNING_SEED = 100
EPOCHS = (4, 8, 16)
DECAYS = (0.0, 0.1, 0.5, 2.0, 6.0)
"""Of the matrices in blocks, beside Muon's learning rate."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "weight decay": {},  # the best of DECAYS but the plain arm's, at the best number of epochs for it
    "dropout 0.1": {"model.dropout": 0.1},
    "dropout 0.2": {"model.dropout": 0.2},
    "the same rows in all epochs": {"training.offsets": False},
    "moving average of weights": {"training.ema_decay": 0.99},
    "average of the last tenth": {"training.tail_average": 0.1},
    "masked rows, 1 of 8": {"training.masked_fraction": 0.125},
    "masked rows, 2 of 8": {"training.masked_fraction": 0.25},
}
BESIDE = ("dropout 0.1", "moving average of weights", "masked rows, 1 of 8")
"""Arms that are trained beside the weight decay too."""


def measure(seeds: Sequence[int], folder: Path) -> dict[str, Any]:
    """Return the held-out losses of all arms; runs that are in the folder already are not trained again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data").exists():
        _prepare(folder)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        tuning = {
            f"{epochs} epochs, decay {decay}": (TUNING_SEED, epochs, {"training.optimizer.weight_decay": decay}, None)
            for epochs in EPOCHS
            for decay in DECAYS
        }
        tried = _train(pool, folder, {name: [job] for name, job in tuning.items()})
        epochs, decay = min(((e, d) for e in EPOCHS for d in DECAYS[1:]), key=lambda at: tried[_named(*at)][0])
        plain_epochs = min(EPOCHS, key=lambda e: tried[_named(e, DECAYS[0])][0])
        arms = {name: [(seed, plain_epochs, values, None) for seed in seeds] for name, values in ARMS.items()}
        strong = {"training.optimizer.weight_decay": decay}
        arms["weight decay"] = [(seed, epochs, strong, None) for seed in seeds]
        for name in BESIDE:
            arms[f"weight decay and {name}"] = [(seed, epochs, {**strong, **ARMS[name]}, None) for seed in seeds]
        found = _train(pool, folder, arms)
        together = {str(count): _ensembles(folder, "weight decay", seeds, count) for count in range(2, len(seeds) + 1)}
        teacher = folder / "weight decay"
        students = {
            f"student of {len(seeds)}": [(seed + 50, epochs, strong, teacher) for seed in seeds],
            "student of one": [(seed + 50, epochs, strong, teacher / str(seed)) for seed in seeds],
        }
        found |= _train(pool, folder, students)
    chosen = {"plain": {"epochs": plain_epochs}, "strong": {"epochs": epochs, "weight decay": decay}}
    return {"seeds": list(seeds), "tuning": tried, "chosen": chosen, "arms": found, "ensembles": together}


def _named(epochs: int, decay: float) -> str:
    return f"{epochs} epochs, decay {decay}"


def _prepare(folder: Path) -> None:
    with data_file("pretrain/books.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(file.readline())["text"] for _ in range(BOOKS)]
    lines = (json.dumps({"text": text[20_000 : 20_000 + CHARACTERS]}) + "\n" for text in texts)
    (folder / "books.jsonl").write_text("".join(lines), encoding="utf-8")
    scratchlm.prepare(
        folder / "books.jsonl",
        out=folder / "data",
        text_column="text",
        split=f"tail:{HELD_OUT}",
        vocabulary_size=VOCABULARY,
    )


def _train(pool: ProcessPoolExecutor, folder: Path, arms: Mapping[str, Sequence[Any]]) -> dict[str, list[float]]:
    """Train all runs of all arms; return the held-out losses of each arm."""
    jobs = {name: [pool.submit(_run, folder, name, *job) for job in runs] for name, runs in arms.items()}
    return {name: [each.result() for each in runs] for name, runs in jobs.items()}


def _run(folder: Path, arm: str, seed: int, epochs: int, values: Mapping[str, Any], teacher: Path | None) -> float:
    """Train one run, or measure the one that is there; return its loss on held-out text."""
    out = folder / arm / str(seed)
    if (out / MANIFEST_FILE).exists() and "ended" in json.loads((out / MANIFEST_FILE).read_text()):
        last = [record.loss for record in read_log(out / LOG_FILE) if isinstance(record, Evaluation)][-1]
        assert last is not None
        return last
    tokens = json.loads((folder / "data" / "prepare.json").read_text())["tokens"]["train"]
    steps = round(epochs * tokens / (ROWS * LENGTH))
    ended = scratchlm.pretrain(
        "default", depth=DEPTH, data=folder / "data", out=out, seed=seed, threads=1, teacher=teacher, force=True,
        dtype="fp32",
        overrides={
            "training.steps": steps,
            "training.batch_size": ROWS,
            "training.sequence_length": LENGTH,
            "training.evaluate_every": max(1, steps // 8),
            "training.sample_every": 0,
            "training.checkpoint_every": 0,
            "training.optimizer.weight_decay": 0.0,
            "model.context": LENGTH,  # as long as what it is measured on
            **values,
        },
    )  # fmt: skip
    print(arm, seed, epochs, f"{ended.loss:.4f}", f"{ended.seconds:.0f} s", flush=True)
    return ended.loss


def _ensembles(folder: Path, arm: str, seeds: Sequence[int], count: int) -> list[float]:
    """Return the losses of ensembles of some of an arm's runs: of all such, or of the first five."""
    losses = []
    for chosen in list(combinations(seeds, count))[:5]:
        place = folder / f"ensemble of {' '.join(map(str, chosen))}"
        place.mkdir(exist_ok=True)
        for seed in chosen:
            (place / str(seed)).unlink(missing_ok=True)
            (place / str(seed)).symlink_to((folder / arm / str(seed)).absolute())
        losses.append(scratchlm.evaluate(place, data=folder / "data", threads=2).held_out.loss)
    return losses
