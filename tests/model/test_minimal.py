"""The one-file GPT computes what the package computes: ids, logits, losses of ten steps, greedy tokens."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch

from scratchlm.data.batches import Batch
from scratchlm.generation.config import SamplingConfig
from scratchlm.generation.generate import generate_ids
from scratchlm.lab.course.own_model import decoder_of
from scratchlm.model import minimal
from scratchlm.model.decoder import Decoder
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop

TEXT = "The cat sat on the mat, aaaa; the hat — ähnlich, 猫 — that the rat had had.\n\n  It was 1234!\n" * 3
VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 320, 16, 32, 2, 4


def pair() -> tuple[minimal.GPT, Decoder]:
    torch.manual_seed(0)
    small = minimal.GPT(VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS)
    for weight in small.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return small, decoder_of(small)


def rows(count: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (count, 4, CONTEXT + 1), generator=torch.Generator().manual_seed(1))


def test_its_ids_are_those_of_the_readable_tokenizer() -> None:
    mine = minimal.Tokenizer(TEXT, 290)
    theirs = ReadableBPE.train([TEXT], 290, pattern=minimal.PATTERN)
    assert mine.merges == theirs.merges
    for text in (TEXT, "aaaaaaa the that", "Ünïcode 🙂\t\n 猫", ""):
        ids = mine.encode(text)
        assert ids == theirs.encode(text)
        assert mine.decode(ids) == text


def test_its_logits_are_those_of_the_decoder() -> None:
    small, decoder = pair()
    ids = rows(1)[0, :, :-1]
    torch.testing.assert_close(small(ids), decoder(ids), rtol=1e-5, atol=1e-5)


def test_its_losses_over_ten_steps_are_those_of_the_loop() -> None:
    small, decoder = pair()
    texts, steps, lr = rows(10), 10, 1e-2
    losses = []
    states = [(weight, torch.zeros_like(weight), torch.zeros_like(weight)) for weight in small.parameters()]
    for step, text in enumerate(texts):
        loss = minimal.loss_of(small, text)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(small.parameters()))
        for state, gradient in zip(states, gradients, strict=True):
            minimal.adamw(*state, gradient, step + 1, lr * (1 - step / steps))
    config = TrainingConfig(
        steps=steps,
        optimizer=AdamWConfig(learning_rate=lr),
        schedule=ScheduleConfig(shape="linear", warmup_steps=0),
        clip=None,
        log_every=1,
        checkpoint_every=0,
    )
    watched = Watched()
    fit(
        Loop(decoder, lambda state: ((Batch(t[:, :-1], t[:, 1:]), {"taken": 0}) for t in texts), config),
        watcher=watched,
    )
    assert losses == pytest.approx(watched.losses, rel=1e-5)
    assert losses[-1] < losses[0] - 0.1


class Watched:
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, record: object) -> None:
        self.losses.append(record.loss)  # type: ignore[attr-defined]

    def note(self, kind: str, step: int, values: object) -> None: ...


def test_its_greedy_tokens_are_those_of_plain_generation() -> None:
    small, decoder = pair()
    sampled = minimal.sample(small.eval(), [1, 2, 3], CONTEXT - 3, temperature=0.0)
    assert sampled[3:] == list(
        generate_ids(decoder.eval(), [1, 2, 3], SamplingConfig(temperature=0.0, max_tokens=CONTEXT - 3))
    )


def test_it_trains_on_a_text_file_and_continues_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 20, encoding="utf-8")
    minimal.main(str(tmp_path / "text.txt"), steps=100, context=16)
    out = capsys.readouterr().out
    first, last = (float(line.split()[-1]) for line in out.splitlines()[:2])
    assert last < first / 2
    assert len(out.splitlines()[2]) > 20


def test_it_is_short_and_needs_torch_alone() -> None:
    text = Path(minimal.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in found}
    assert {str(name).split(".")[0] for name in names} - sys.stdlib_module_names == {"torch"}
