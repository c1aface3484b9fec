"""How the time of a decode step divides: reading the weights, their products, and everything else.

    python -m bench.serving.step MODEL...

Each MODEL is a model folder in int8 or int4. Three things take turns in one process, on the same threads, and medians
count: whole steps of one text and of more; the products of all matrices alone, each thread its half and none waiting
for another; and reading the same bytes, which is as fast as memory is. What a step takes beyond its products are norms,
rounding, attention, and threads that wait for each other.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.serving.decoding import THREADS
from bench.store import write
from numba import carray, njit

from scratchlm.compiled.atomic import pointer
from scratchlm.compiled.decoder import CompiledDecoder
from scratchlm.compiled.instructions import chosen
from scratchlm.compiled.products import Rounded, multiply_tiles
from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.decoder import Decoder
from scratchlm.model.quantized import GROUP, TILE, QuantizedWeight
from scratchlm.weights.checkpoint import find_model, load_model

ROWS = (1, 2, 4, 8, 16, 32)
TURNS, AT_ONCE, POSITION = 15, 5, 40
"""Turns, steps of a turn, between which helpers stay awake, and the position of the new tokens."""


@njit(nogil=True)
def products(kind, table, rows, share):  # type: ignore[no-untyped-def]
    """Multiply a share, such as (0, 2), of each matrix of a table: addresses, outputs, inputs, passes."""
    for places in table:
        outputs, inputs, groups = places[3], places[4], (places[4] + GROUP - 1) // GROUP * places[5]
        ones, sums = np.ones((rows, groups), np.float32), np.ones((rows, groups), np.int32)
        rounded = Rounded(np.ones((rows, GROUP * groups), np.int8), ones, sums)
        first = outputs * share[0] // share[1] // TILE * TILE
        last = outputs * (share[0] + 1) // share[1] // TILE * TILE
        multiply_tiles(kind, places, inputs, rounded, np.empty((rows, outputs), np.float32), first, last)


@njit(nogil=True, fastmath=True)
def total(table, share):  # type: ignore[no-untyped-def]
    """Read a share of each array of a table of addresses and bytes."""
    sum = 0
    for address, size in table:
        count = size // 8 // share[1]
        numbers = carray(pointer(address + 8 * count * share[0]), (count,), np.int64)
        for at in range(count):
            sum += numbers[at]
    return sum


def together(work: Callable[[int], Any]) -> float:
    """Return the seconds that all threads take for `work(thread)`."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, THREADS)]
    started = time.perf_counter()
    for each in threads:
        each.start()
    work(0)
    for each in threads:
        each.join()
    return time.perf_counter() - started


def table_of(parts: Sequence[QuantizedWeight]) -> np.ndarray:
    """Return what `products` reads."""
    rows = []
    for part in parts:
        places = [each.data_ptr() for each in part.stored]
        rows.append([*places, *[0] * (3 - len(places)), *part.shape, 2 if part.twice else 1])
    return np.array(rows, np.int64)


def matrices(decoder: Decoder) -> list[QuantizedWeight]:
    """Return the matrices of a step: those of the layers, then the head."""
    head = decoder.embedding if decoder.head is None else decoder.head
    inside = [part for part in decoder.blocks.modules() if isinstance(part, QuantizedWeight)]
    return [*inside, *([head] if isinstance(head, QuantizedWeight) else [])]


def measure(folder: Path) -> dict[str, Any]:
    """Measure one model."""
    torch.set_num_threads(THREADS)
    decoder = load_model(find_model(folder)).decoder.eval()
    parts = matrices(decoder)
    need = POSITION // BLOCK + 1
    compiled = CompiledDecoder(decoder, Blocks(decoder, max(ROWS) * need), THREADS)
    arrays = np.array([[each.data_ptr(), each.nbytes] for part in parts for each in part.stored], np.int64)
    kinds = [np.empty((0, 0, 0), part.codes.numpy().dtype) for part in (parts[0], parts[-1])]
    tables = [table_of(parts[:-1]), table_of(parts[-1:])]

    def multiplied(rows: int) -> Callable[[int], None]:
        def work(thread: int) -> None:
            for kind, table in zip(kinds, tables, strict=True):
                products(kind, table, rows, (thread, THREADS))

        return work

    result: dict[str, Any] = {"bytes": int(arrays[:, 1].sum()), "rows": {}}
    for rows in ROWS:
        blocks = [[row * need + each for each in range(need)] for row in range(rows)]
        texts, positions = [[7] * (POSITION + 1)] * rows, [POSITION] * rows
        times: dict[str, list[float]] = {"step": [], "products": [], "reading": []}
        for _ in range(TURNS):
            started = time.perf_counter()
            for _step in range(AT_ONCE):
                compiled.step(texts, positions, blocks)
            times["step"].append((time.perf_counter() - started) / AT_ONCE)
            times["products"].append(together(multiplied(rows)))
            times["reading"].append(together(lambda thread: total(arrays, (thread, THREADS))))
        medians = {name: 1000 * statistics.median(each[2:]) for name, each in times.items()}
        result["rows"][str(rows)] = {**medians, "tokens_per_second": 1000 * rows / medians["step"]}
        print(folder.name, rows, {name: round(each, 2) for name, each in result["rows"][str(rows)].items()}, flush=True)
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure all models."""
    models = {Path(each).name: measure(Path(each)) for each in arguments}
    write("serving/step", {"task": f"a step, {THREADS} threads, ms", "instructions": chosen(), "models": models})


if __name__ == "__main__":
    main(sys.argv[1:])
