"""The compiled decode step equals the plain decoder, in every family's shape, for every composition of rows."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from scratchlm.compiled.decoder import CompiledDecoder, unsupported
from scratchlm.model.blocks import BLOCK, Blocks
from scratchlm.model.decoder import Decoder, build_decoder
from scratchlm.model.lora import add_adapter, use_adapter
from scratchlm.model.loraconfig import LoRAConfig
from scratchlm.model.quantized import pack, quantizable, replace
from toys import TOYS, VOCABULARY, random_decoder, randomise, toy_config
from weights.families import FAMILIES

pytestmark = pytest.mark.xdist_group("compiled")  # one process compiles


def run(decoder: Decoder, ids: list[list[int]], threads: int = 2) -> list[torch.Tensor]:
    """Feed texts of any lengths token by token, all that still have one in the same step; return their logits."""
    most = -(-max(map(len, ids)) // BLOCK)
    compiled = CompiledDecoder(decoder, Blocks(decoder, most * len(ids)), threads)
    found: list[list[torch.Tensor]] = [[] for _ in ids]
    for at in range(max(map(len, ids))):
        rows = [row for row, text in enumerate(ids) if at < len(text)]
        blocks = [[row * most + block for block in range(most)] for row in rows]
        logits = compiled.step([ids[row][: at + 1] for row in rows], [at] * len(rows), blocks)
        for row, each in zip(rows, logits, strict=True):
            found[row].append(each.clone())
    return [torch.stack(each) for each in found]


def read(decoder: Decoder, ids: list[list[int]], threads: int = 2) -> torch.Tensor:
    """Feed all tokens of all texts in one step, and return the logits after the last two of each."""
    most = -(-max(map(len, ids)) // BLOCK)
    compiled = CompiledDecoder(decoder, Blocks(decoder, most * len(ids)), threads)
    begun, places, blocks, wanted = list[list[int]](), list[int](), list[list[int]](), list[int]()
    for row, text in enumerate(ids):
        begun += [text[: at + 1] for at in range(len(text))]
        places += range(len(text))
        blocks += [[row * most + block for block in range(most)]] * len(text)
        wanted += [len(begun) - 2, len(begun) - 1]
    return compiled.step(begun, places, blocks, wanted)


def texts(lengths: list[int], seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def check(decoder: Decoder, ids: list[list[int]]) -> None:
    with torch.no_grad():
        for text, logits in zip(ids, run(decoder, ids), strict=True):
            torch.testing.assert_close(logits, decoder(torch.tensor([text]))[0], atol=2e-4, rtol=1e-4)
        expected = torch.cat([decoder(torch.tensor([text]))[0, -2:] for text in ids])
        torch.testing.assert_close(read(decoder, ids), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [*TOYS, *FAMILIES])
def test_the_compiled_step_equals_the_decoder(name: str) -> None:
    config = FAMILIES[name][1] if name in FAMILIES else toy_config(name)
    decoder = randomise(build_decoder(config)).eval()
    if reason := unsupported(decoder):
        pytest.skip(reason)
    check(decoder, texts([min(70, config.context), 5, 23, 11, 3]))


@pytest.mark.parametrize("name", ["default", "gpt2"])
def test_an_adapter_in_use_adds_what_it_adds_plainly(name: str) -> None:
    decoder = random_decoder(toy_config(name))
    add_adapter(decoder, "poet", LoRAConfig(rank=3, alpha=7.0, targets=("query", "value", "output", "up", "down")))
    for path, parameter in decoder.named_parameters():
        if ".lora_b" in path:
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(path)))
    before = decoder(torch.tensor(texts([5]))).detach()
    check(decoder, texts([9, 5, 7, 11, 3]))
    use_adapter(decoder, None)
    check(decoder, texts([9, 5]))
    assert not torch.allclose(decoder(torch.tensor(texts([5]))), before, atol=0.1)


def check_rounded(decoder: Decoder, ids: list[list[int]]) -> None:
    """Most texts are equal. Where an input lies between two codes, another order of sums takes the other of them."""
    with torch.no_grad():
        expected = [decoder(torch.tensor([text]))[0] for text in ids]
    far = [(a - b).abs().amax() / b.std() for a, b in zip(run(decoder, ids), expected, strict=True)]
    assert sum(each < 2e-4 for each in far) > len(ids) // 2
    assert max(far) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("to", ["int8", "int4"])
@pytest.mark.parametrize("name", ["default", "speedrun", "gpt2", "gemma3"])
def test_a_quantized_decoder_steps_as_it_does_plainly(name: str, to: str) -> None:
    config = FAMILIES[name][1] if name in FAMILIES else toy_config(name)
    attention = dataclasses.replace(config.attention, heads=4, kv_heads=2, head_dim=16)
    inside = dataclasses.replace(config.feed_forward, hidden=160)
    config = dataclasses.replace(config, attention=attention, feed_forward=inside)
    decoder = randomise(build_decoder(config)).eval()
    for path, part in quantizable(decoder).items():
        replace(decoder, path, pack(path, part, to))
    if reason := unsupported(decoder):
        pytest.skip(reason)
    check_rounded(decoder, texts([min(40, config.context), 5, 23, 11, 3, 1, 2]))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["int8", "int4"])
def test_rows_of_a_quantized_decoder_are_the_same_alone_and_together(to: str) -> None:
    decoder = random_decoder(toy_config("default"))
    for path, part in quantizable(decoder).items():
        replace(decoder, path, pack(path, part, to))
    ids = texts([21, 5, 23, 11, 3, 9])
    together = run(decoder, ids)
    for text, logits in zip(ids, together, strict=True):
        assert torch.equal(run(decoder, [text], threads=1)[0], logits)
    assert torch.equal(read(decoder, ids), torch.cat([logits[-2:] for logits in together]))
