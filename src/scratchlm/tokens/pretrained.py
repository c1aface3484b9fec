"""Loading tokenizers from files: ours and published ones. No network: the files are given by path.

| file | tokenizer |
|---|---|
| `tokenizer.json` | ours, any byte-level BPE that Hugging Face `tokenizers` wrote (Qwen, OLMo, SmolLM, ...), and
  SentencePiece-style BPE with byte fallback (Llama 2, TinyLlama, Gemma) |
| `vocab.bpe` (`merges.txt`), beside it `encoder.json` (`vocab.json`) | GPT-2, as openai/gpt-2 published it |
| `cl100k_base.tiktoken` | cl100k, as openai/tiktoken published it |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import explain_os_error, read_json
from scratchlm.base.reading import read_plain_text
from scratchlm.tokens.base import END_OF_TEXT, Tokenizer
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.format import FILE_NAME, read_vocabulary
from scratchlm.tokens.patterns import CL100K, GPT2
from scratchlm.tokens.sentencepiece import SentencePieceBPE
from scratchlm.tokens.simple import SymbolTokenizer
from scratchlm.tokens.spelling import SPELLING, unspell
from scratchlm.tokens.unigram import UnigramTokenizer
from scratchlm.tokens.vocabulary import (
    BytePairVocabulary,
    SentencePieceVocabulary,
    SymbolVocabulary,
    UnigramVocabulary,
    Vocabulary,
    WordPieceVocabulary,
)
from scratchlm.tokens.wordpiece import WordPieceTokenizer

# Source: `cl100k_base` in openai/tiktoken, `tiktoken_ext/openai_public.py`.
CL100K_TOKENS = 100_256
CL100K_SPECIALS = {
    END_OF_TEXT: 100_257,
    "<|fim_prefix|>": 100_258,
    "<|fim_middle|>": 100_259,
    "<|fim_suffix|>": 100_260,
    "<|endofprompt|>": 100_276,
}


def load_tokenizer(path: Path | str, readable: bool = False) -> Tokenizer:
    """Load a tokenizer of any of the kinds above from a folder or a file.

    `readable` selects the plain Python encoder, equal and slow. Raises a `UserError` for a missing, broken or
    unsupported file.
    """
    vocabulary = load_vocabulary(Path(path))
    try:
        return tokenizer_of(vocabulary, readable)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def tokenizer_of(vocabulary: Vocabulary, readable: bool = False) -> Tokenizer:
    """Return a tokenizer for a vocabulary."""
    if isinstance(vocabulary, SymbolVocabulary):
        return SymbolTokenizer(vocabulary)
    if isinstance(vocabulary, WordPieceVocabulary):
        return WordPieceTokenizer(vocabulary)
    if isinstance(vocabulary, UnigramVocabulary):
        return UnigramTokenizer(vocabulary)
    if isinstance(vocabulary, SentencePieceVocabulary):
        return SentencePieceBPE(vocabulary)
    return ReadableBPE(vocabulary) if readable else FastBPE(vocabulary)


def load_vocabulary(path: Path) -> Vocabulary:
    """Load the vocabulary of a tokenizer from a folder or a file."""
    if path.is_dir():
        for name in (FILE_NAME, "vocab.bpe", "merges.txt"):
            if (path / name).exists():
                return load_vocabulary(path / name)
        raise UserError(f"{path}: holds no {FILE_NAME} and no vocab.bpe; name a folder that a tokenizer was saved in")
    readers: dict[str, Callable[[Path], Vocabulary]] = {".json": read_vocabulary, ".tiktoken": cl100k_vocabulary}
    readers |= {".bpe": gpt2_vocabulary, ".txt": gpt2_vocabulary}
    if path.suffix in readers:
        return readers[path.suffix](path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the spelling")
    raise UserError(f"{path}: not a tokenizer file; known are {FILE_NAME}, vocab.bpe and .tiktoken files")


def gpt2_vocabulary(merges_file: Path, encoder_file: Path | None = None) -> BytePairVocabulary:
    """Read GPT-2's `vocab.bpe`; its `encoder.json`, given or found beside it, must agree on every id.

    The merges alone determine the ids: first the bytes in the order of their printable spellings, then the merges.
    """
    lines = _read_text(merges_file).split("\n")
    lines = [line for line in lines[lines[0].startswith("#version") :] if line]
    order = sorted(range(256), key=SPELLING.__getitem__)
    tokens = {bytes([value]): id for id, value in enumerate(order)}
    for number, line in enumerate(lines, start=2):
        try:
            left, right = (unspell(part) for part in line.split(" "))
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{merges_file}: line {number} is no pair of tokens ({line!r}); restore the file"
            ) from error
        tokens[left + right] = len(tokens)
    vocabulary = BytePairVocabulary(tokens, GPT2, {END_OF_TEXT: len(tokens)})
    if encoder_file is None:
        names = {"vocab.bpe": "encoder.json", "merges.txt": "vocab.json"}
        beside = [
            merges_file.with_name(merges_file.name.replace(ending, other))
            for ending, other in names.items()
            if merges_file.name.endswith(ending)
        ]
        encoder_file = next((file for file in beside if file.exists()), None)
    if encoder_file is not None:
        _require_ids(vocabulary, read_json(encoder_file), encoder_file, merges_file)
    return vocabulary


def _require_ids(vocabulary: BytePairVocabulary, listed: Mapping[str, int], encoder: Path, merges: Path) -> None:
    """Refuse an `encoder.json` that differs in any id."""
    ordinary = {name: id for name, id in listed.items() if name not in vocabulary.specials}
    try:
        read = {unspell(name): id for name, id in ordinary.items()}
    except KeyError as error:
        raise UserError(f"{encoder}: {error} is no byte's character; restore the file") from error
    if read != vocabulary.tokens:
        other = [token for token, id in vocabulary.tokens.items() if read.get(token) != id]
        fault = f"the id of {other[0]!r}" if other else "the number of tokens"
        raise UserError(f"{encoder}: disagrees with {merges} on {fault}; give the two files of one tokenizer")


def cl100k_vocabulary(path: Path) -> BytePairVocabulary:
    """Read `cl100k_base.tiktoken`: one token a line, in base64, and its id.

    The file does not hold its split pattern, so only cl100k's, known by its 100,256 tokens, can be read.
    """
    tokens = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        try:
            token, id = line.split()
            tokens[base64.b64decode(token, validate=True)] = int(id)
        except (ValueError, binascii.Error) as error:
            raise UserError(f"{path}: line {number} is no token and id ({line[:40]!r}); restore the file") from error
    if len(tokens) != CL100K_TOKENS:
        raise UserError(
            f"{path}: {len(tokens):,} tokens where cl100k has {CL100K_TOKENS:,}; a .tiktoken file does not hold its "
            "split pattern, so no other can be read: give a tokenizer.json instead, or restore the file"
        )
    return BytePairVocabulary(tokens, CL100K, CL100K_SPECIALS)


def _read_text(path: Path) -> str:
    try:
        return read_plain_text(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
