"""A model that was trained here generates the same tokens in transformers, llama.cpp and a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import torch

from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.language_model import LanguageModel, load
from scratchlm.tokens.base import END_OF_TEXT
from scratchlm.weights.checkpoint import find_model, load_model
from scratchlm.weights.ggufs.reading import read_gguf
from scratchlm.weights.ggufs.writing import write_gguf
from scripts import SCRIPTS

PROMPTS = ("One morning", "Toby has a pet", "In the afternoon,", "Старый смотритель", '"I want to build')
WRITTEN = 64
TIE = 0.1
"""Largest difference of two logits whose order quantization to 8 bits may reverse."""
F32 = 0
"""GGML's number for fp32, the precision asked of llama.cpp's cache."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("elsewhere")]  # one process: the model is trained once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the storyworld whose tokenizer learned many scripts, and its three exports."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "scripts.txt").write_text("\n".join(SCRIPTS.values()) * 40, encoding="utf-8")
    for command in (
        "tokenizer train storyworld:1MB scripts.txt --vocabulary-size 2000 --out tokenizer",
        "prepare storyworld:2MB --tokenizer tokenizer --out data",
        "pretrain default --depth 2 --data data --out run --training.steps 100",
        *(f"export run --to {to} --out {to}" for to in ("hf", "html")),
        "export run --to gguf --precision f32 --out gguf",
    ):
        subprocess.run([sys.executable, "-m", "scratchlm", *command.split()], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def ours(folder: Path) -> LanguageModel:
    return load(folder / "run", "cpu")


@pytest.fixture(scope="module")
def written(ours: LanguageModel) -> list[list[int]]:
    prompts = [ours.tokenizer.encode(prompt) for prompt in PROMPTS]
    return greedy_batch(ours.decoder, prompts, WRITTEN, frozenset())


def test_transformers_cuts_and_writes_the_same_tokens(
    folder: Path, ours: LanguageModel, written: list[list[int]], fuzzed: list[str]
) -> None:
    import transformers

    cut = transformers.AutoTokenizer.from_pretrained(folder / "hf")
    texts = [*SCRIPTS.values(), *fuzzed[:2000]]
    for text, ids in zip(texts, ours.tokenizer.encode_batch(texts), strict=True):
        assert cut(text, split_special_tokens=True)["input_ids"] == ids.tolist()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf").eval()
    for prompt, expected in zip(PROMPTS, written, strict=True):
        ids = ours.tokenizer.encode(prompt)
        greedy = theirs.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=WRITTEN, eos_token_id=None, pad_token_id=0, top_k=None
        )
        assert greedy[0, len(ids) :].tolist() == expected


@pytest.fixture(scope="module")
def llama(folder: Path) -> Iterator[Any]:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp comes with the extra `interop`")
    path = str(folder / "gguf" / "model.gguf")
    model = llama_cpp.Llama(path, n_ctx=256, logits_all=True, type_k=F32, type_v=F32, flash_attn=False, verbose=False)
    yield model
    model.close()


def test_llama_cpp_cuts_the_same_tokens(llama: Any, ours: LanguageModel, fuzzed: list[str]) -> None:
    texts = [*SCRIPTS.values(), *fuzzed[:2000]]
    for text, ids in zip(texts, ours.tokenizer.encode_batch(texts), strict=True):
        assert llama.tokenize(text.encode(), add_bos=False, special=False) == ids.tolist(), repr(text)


def test_llama_cpp_writes_the_same_tokens(llama: Any, ours: LanguageModel, written: list[list[int]]) -> None:
    for prompt, expected in zip(PROMPTS, written, strict=True):
        llama.reset()
        new, found = ours.tokenizer.encode(prompt), []
        for _ in range(WRITTEN):
            llama.eval(new)
            new = [int(llama.scores[llama.n_tokens - 1].argmax())]
            found += new
        assert found == expected


@pytest.fixture(scope="module")
def packed(folder: Path) -> LanguageModel:
    """The model whose weights are those of the page: 8 bits each, in the blocks of Q8_0."""
    write_gguf(folder / "packed.gguf", load_model(find_model(folder / "run")), "q8_0")
    return LanguageModel(read_gguf(folder / "packed.gguf", torch.float32)[0])


def test_a_browser_writes_the_same_tokens(
    folder: Path, ours: LanguageModel, packed: LanguageModel, written: list[list[int]], tmp_path: Path
) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((found for name in names if (found := shutil.which(name))), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    whole, end = 0, ours.tokenizer.specials[END_OF_TEXT]
    for number, (prompt, full) in enumerate(zip(PROMPTS, written, strict=True)):
        page = f"{(folder / 'html' / 'model.html').as_uri()}#"
        page += urlencode({"greedy": WRITTEN, "plain": 1, "prompt": prompt})
        found = written_by(chromium, page, tmp_path / str(number))
        ids = ours.tokenizer.encode(prompt)
        assert found == greedy_batch(packed.decoder, [ids], WRITTEN, frozenset({end}))[0]
        full = full[: full.index(end)] if end in full else full  # where the page stops
        sure = steps_before_a_tie(ours, ids, full)
        assert found[:sure] == full[:sure]
        whole += found == full
    assert whole > 0


def written_by(chromium: str, page: str, profile: Path) -> list[int]:
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    alone = ["--headless", "--no-sandbox", "--disable-gpu", *quiet, "--disable-sync", f"--user-data-dir={profile}"]
    command = [chromium, *alone, "--virtual-time-budget=60000", "--dump-dom", page]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r'<pre id="ids" hidden="">(.*?)</pre>', done.stdout)
    assert found, done.stderr
    ids: list[int] = json.loads(found.group(1))
    return ids


@torch.no_grad()
def steps_before_a_tie(model: LanguageModel, prompt: list[int], written: list[int]) -> int:
    """Return the number of tokens before the two best logits are so close that 8 bits may swap them."""
    logits = model.decoder(torch.tensor([prompt + written]))[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    close = (best[:, 0] - best[:, 1] < TIE).nonzero()
    return int(close[0]) if len(close) else len(written)
