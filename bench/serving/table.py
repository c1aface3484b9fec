"""Write the tables of `docs/benchmarks.md` from the results of `decoding`, `streams` and `load`.

python -m bench.serving.table
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.store import read, write_between_marks

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PEERS = ("llama.cpp, Q4_1", "CTranslate2, fp32")
"""What others are measured by, in the first table and in the second."""


def median(of: Mapping[str, Mapping[str, float]], key: str) -> float:
    """Return the median of one number of a contender."""
    return of[key]["median"]


def one_text(name: str) -> Iterator[str]:
    """Yield the rows of one text alone."""
    result: dict[str, Any] = read(name) or {"contenders": {}}
    peer = result["contenders"].get(PEERS[0])
    for contender, of in result["contenders"].items():
        written, reading = median(of, "written_per_second"), median(of, "read_per_second")
        ratio = f"{written / median(peer, 'written_per_second'):.2f}" if peer else ""
        span = f"{of['written_per_second']['low']:.0f} to {of['written_per_second']['high']:.0f}"
        yield (
            f"| {contender} | {written:.0f} ({span}) | {ratio} | {reading:.0f} | "
            f"{median(of, 'seconds_to_first'):.1f} | {median(of, 'peak_mib'):.0f} |"
        )


def many_texts() -> Iterator[str]:
    """Yield the rows of eight texts at a time."""
    result: dict[str, Any] = read("serving/streams") or {"contenders": {}}
    peer = result["contenders"].get(PEERS[1])
    for contender, of in result["contenders"].items():
        written = median(of, "tokens_per_second")
        ratio = f"{written / median(peer, 'tokens_per_second'):.2f}" if peer else ""
        first = ""
        if "first_token_ms" in of:
            first = f"{median(of, 'first_token_ms'):.0f}, {median(of, 'slowest_first_token_ms'):.0f}"
        yield f"| {contender} | {written:.0f} | {ratio} | {first} |"


def under_load(name: str) -> Iterator[str]:
    """Yield the row of a server under load."""
    found: dict[str, Any] | None = read(name)
    if found is not None:
        refused = sum(found["refused"].values())
        memory = found["memory_mib"]
        yield (
            f"| {found['clients']} clients, {found['seconds']:.0f} s | {found['answers']:,} | {found['wrong']} | "
            f"{refused} | {found['tokens_per_second']:.0f} | {found['least_of_peak']:.2f} | "
            f"{found['first_token_seconds']['median']:.1f} | {memory['after_10_s']:.0f}, {memory['last']:.0f} |"
        )


def main() -> None:
    """Write all tables."""
    head = ["| program | writes tokens/s (quartiles) | of llama.cpp | reads tokens/s | first token, s | peak MiB |"]
    head.append("|---|---|---|---|---|---|")
    write_between_marks(PAGE, "bench/serving/decoding", [*head, *one_text("serving/decoding")])
    for name in ("decoding-avx2", "decoding-integers-avx2", "decoding-integers-vnni"):
        write_between_marks(PAGE, f"bench/serving/{name}", [*head, *one_text(f"serving/{name}")])
    head = ["| program | tokens/s | of CTranslate2 in fp32 | first token, ms: median, slowest |", "|---|---|---|---|"]
    write_between_marks(PAGE, "bench/serving/streams", [*head, *many_texts()])
    columns = "load", "answers", "wrong", "refused", "tokens/s", "slowest 5 s, of the fastest", "first token, s"
    head = ["| " + " | ".join([*columns, "MiB after 10 s, at the end"]) + " |", "|" + 8 * "---|"]
    rows = [row for name in ("serving/load", "serving/soak") for row in under_load(name)]
    write_between_marks(PAGE, "bench/serving/load", [*head, *rows])


if __name__ == "__main__":
    main()
