"""The named corpora: their URLs, licences and layouts.

A SHA-256 is listed only where it was computed from the file itself. For the others the hash is recorded at the first
download and compared from then on (see `sources.fetch`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scratchlm.base.errors import UserError

HUB = "https://huggingface.co/datasets"
HUB_MIRROR = "https://hf-mirror.com/datasets"  # the same paths, reachable where the first is not


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus that is one file on the network."""

    name: str
    """Its name on the command line."""

    description: str
    """One sentence on its content, with its paper."""

    licence: str
    """SPDX identifier, or a description where there is none."""

    urls: tuple[str, ...]
    """The URL and its mirrors, tried in order."""

    filename: str
    """File name in the cache; the suffix says the format."""

    sha256: str | None = None
    """SHA-256 in hexadecimal, where it was computed from the file itself."""

    size: int | None = None
    """Size in bytes, where it was measured on the file itself."""

    split_on: str | None = None
    """The text that separates the documents of a text file."""

    layout: Literal["documents", "gutenberg", "wikitext"] = "documents"
    """documents: as in any file of its format. gutenberg: one book between a licence header and footer. wikitext: rows
    are lines, and a heading of the first level begins a document."""


def _on_hub(path: str) -> tuple[str, ...]:
    return f"{HUB}/{path}", f"{HUB_MIRROR}/{path}"


CATALOGUE: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="tinystories",
            description="2.7 million short stories in a small child's words, by GPT-4 (Eldan and Li 2023); 2.2 GB",
            licence="CDLA-Sharing-1.0",
            urls=_on_hub("roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-train.txt"),
            filename="TinyStoriesV2-GPT4-train.txt",
            split_on="<|endoftext|>",
        ),
        Source(
            name="tinystories-valid",
            description="The held-out part of tinystories; 22 MB",
            licence="CDLA-Sharing-1.0",
            urls=_on_hub("roneneldan/TinyStories/resolve/main/TinyStoriesV2-GPT4-valid.txt"),
            filename="TinyStoriesV2-GPT4-valid.txt",
            split_on="<|endoftext|>",
        ),
        Source(
            name="shakespeare",
            description="40,000 lines from Shakespeare's plays, as char-rnn and nanoGPT use them; hold out tail:0.1",
            licence="public domain",
            urls=(
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                "https://raw.githubusercontent.com/karpathy/ng-video-lecture/master/input.txt",
                "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
            ),
            filename="tinyshakespeare.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            size=1_115_394,
        ),
        Source(
            name="wikitext",
            description="WikiText-2, raw: good and featured Wikipedia articles (Merity et al. 2016); 6 MB of parquet",
            licence="CC-BY-SA-3.0 or GFDL",
            urls=_on_hub("Salesforce/wikitext/resolve/main/wikitext-2-raw-v1/train-00000-of-00001.parquet"),
            filename="wikitext-2-raw-train.parquet",
            layout="wikitext",
        ),
        Source(
            name="fineweb-edu",
            description="The first file of the 10-billion-token sample of FineWeb-Edu, educational web pages "
            "(Penedo et al. 2024); about 2 GB of parquet",
            licence="ODC-By-1.0",
            urls=_on_hub("HuggingFaceFW/fineweb-edu/resolve/main/sample/10BT/000_00000.parquet"),
            filename="fineweb-edu-10BT-000_00000.parquet",
        ),
    )
}

BUILT_IN = ("storyworld", "stdlib")


def names() -> list[str]:
    """Return the names of all sources, as the help shows them."""
    return [*BUILT_IN, *CATALOGUE, "gutenberg:NUMBER"]


def gutenberg(number: str) -> Source:
    """Return the Project Gutenberg book of a number; raises `UserError` for an invalid number."""
    if not (number.isascii() and number.isdecimal()) or int(number) == 0:
        raise UserError(f"gutenberg:{number}: a book number is needed, as in gutenberg:1342")
    book = str(int(number))
    return Source(
        name=f"gutenberg:{book}",
        description=f"Project Gutenberg book {book}",
        licence="public domain in the USA; elsewhere check the author's dates",
        urls=(
            f"https://www.gutenberg.org/cache/epub/{book}/pg{book}.txt",
            f"https://gutenberg.pglaf.org/cache/epub/{book}/pg{book}.txt",
        ),
        filename=f"pg{book}.txt",
        layout="gutenberg",
    )
