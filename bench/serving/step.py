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
TURNS, POSITION = 40, 40


@njit(nogil=True)
def products(kind, places, inputs, rounded, out, first, last):  # type: ignore[no-untyped-def]
    """Multiply some tiles of one matrix."""
    multiply_tiles(kind, places, inputs, rounded, out, first, last)


@njit(nogil=True, fastmath=True)
def total(address, count):  # type: ignore[no-untyped-def]
    """Read some numbers of 8 bytes."""
    numbers, found = carray(pointer(address), (count,), np.int64), 0
    for at in range(count):
        found += numbers[at]
    return found


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


def multiplied(part: QuantizedWeight, rows: int, twice: bool) -> Callable[[int], None]:
    """Return what multiplies a thread's share of a matrix."""
    outputs, inputs = part.shape
    groups = -(-inputs // GROUP) * (2 if twice else 1)
    rounded = Rounded(
        np.ones((rows, GROUP * groups), np.int8), np.ones((rows, groups), np.float32), np.ones((rows, groups), np.int32)
    )
    places = np.array([each.data_ptr() for each in part.stored] + [0], np.int64)
    kind, out = np.empty((0, 0, 0), part.codes.numpy().dtype), np.empty((rows, outputs), np.float32)
    cuts = [outputs * each // THREADS // TILE * TILE for each in range(THREADS)] + [outputs]
    return lambda thread: products(kind, places, inputs, rounded, out, cuts[thread], cuts[thread + 1])


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
    tensors = [each for part in parts for each in part.stored]

    def read(thread: int) -> None:
        for each in tensors:
            words = each.nbytes // 8 // THREADS
            total(each.data_ptr() + 8 * words * thread, words)

    result: dict[str, Any] = {"bytes": sum(each.nbytes for each in tensors), "rows": {}}
    for rows in ROWS:
        work = [multiplied(part, rows, part.twice) for part in parts]
        blocks = [[row * need + each for each in range(need)] for row in range(rows)]
        texts, positions = [[7] * (POSITION + 1)] * rows, [POSITION] * rows
        times: dict[str, list[float]] = {"step": [], "products": [], "reading": []}
        for _ in range(TURNS):
            started = time.perf_counter()
            compiled.step(texts, positions, blocks)
            times["step"].append(time.perf_counter() - started)
            times["products"].append(together(lambda thread, work=work: [each(thread) for each in work]))
            times["reading"].append(together(read))
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
