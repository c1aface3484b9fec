"""What one step does: gradients, bad numbers, hooks, signals."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import Record, read_log
from scratchlm.base.signals import stop_on_signals
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.finetuning.config import InstructTrainingConfig
from scratchlm.model.decoder import Decoder
from scratchlm.training.config import AdamWConfig, ScheduleConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop, RuntimeConfig
from scratchlm.training.loss import next_token_loss
from scratchlm.training.probing import step_time
from scratchlm.training.profiling import steps_within
from toys import VOCABULARY, random_decoder, random_ids, toy_config

POISON = VOCABULARY - 1


def unequal_batch() -> Batch:
    """Eight rows with 0 to 12 targets each."""
    ids, targets = random_ids(8, 12, POISON), random_ids(8, 12, POISON, seed=2)
    for row, count in enumerate([12, 3, 0, 7, 1, 12, 0, 5]):
        targets[row, count:] = IGNORED
    return Batch(ids, targets)


def repeat(*batches: Batch):
    """A source that yields these batches in turn, without end."""

    def source(state) -> Iterator:
        place = 0 if state is None else state["index"]
        while True:
            place += 1
            yield batches[(place - 1) % len(batches)], {"index": place}

    return source


class Watch:
    """Keeps every record, and the weights after every step."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.records, self.notes = [], []
        self.weights = [self._now()]

    def _now(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten().clone() for p in self.decoder.parameters()])

    def step(self, record) -> None:
        self.records.append(record)
        self.weights.append(self._now())

    def note(self, kind, step, values) -> None:
        self.notes.append((kind, step, values))


def gradients(batch: Batch, micro_batch_size: int | None) -> tuple[dict[str, torch.Tensor], float]:
    """Run one step and return the gradients that the optimizer would have used, and the loss reported."""
    decoder = random_decoder(toy_config("default"))
    seen: dict[str, torch.Tensor] = {}
    config = TrainingConfig(steps=1, batch_size=8, micro_batch_size=micro_batch_size, sequence_length=12, clip=None)
    loop = Loop(decoder, repeat(batch), config)
    loop.optimizers.step = lambda: seen.update({n: p.grad.clone() for n, p in decoder.named_parameters()})
    (record,) = loop.steps()
    return seen, record.loss


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8, 100])
def test_micro_batches_change_neither_gradients_nor_the_loss(rows: int) -> None:
    batch = unequal_batch()
    whole, loss = gradients(batch, None)
    cut, cut_loss = gradients(batch, rows)
    assert loss > 1
    assert cut_loss == pytest.approx(loss, rel=1e-6)
    assert max(gradient.abs().max() for gradient in whole.values()) > 1e-2
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_mean_over_all_targets() -> None:
    batch = unequal_batch()
    decoder = random_decoder(toy_config("default"))
    logits = decoder(batch.ids)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED).backward()
    seen, _ = gradients(batch, 2)
    for name, parameter in decoder.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_batch_without_targets_has_loss_zero_and_gradient_zero() -> None:
    ids = random_ids(2, 12)
    seen, loss = gradients(Batch(ids, torch.full_like(ids, IGNORED)), 1)
    assert loss == 0.0
    assert all(not gradient.any() for gradient in seen.values())


def test_a_long_gradient_is_scaled_down_to_the_clip_and_reported_unscaled() -> None:
    decoder = random_decoder(toy_config("default"))
    norms: list[torch.Tensor] = []
    loop = Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=1, clip=0.25))
    loop.optimizers.step = lambda: norms.append(torch.stack([p.grad.norm() for p in decoder.parameters()]).norm())
    (record,) = loop.steps()
    assert record.gradient_norm > 0.5
    assert norms[0].item() == pytest.approx(0.25, rel=1e-3)


def poisonous(bad=lambda decoder, usual: usual * float("nan")):
    """The usual loss, made not finite wherever the batch holds the poisoned id."""

    def loss(decoder: Decoder, batch: Batch) -> torch.Tensor:
        usual = next_token_loss(decoder, batch)
        return bad(decoder, usual) if (batch.ids == POISON).any() else usual

    return loss


def poisoned_batch() -> Batch:
    batch = unequal_batch()
    batch.ids[5, 2] = POISON
    return batch


BAD = {
    "nan in loss and gradient": lambda decoder, usual: usual * float("nan"),
    "an infinite loss over a finite gradient": lambda decoder, usual: usual + float("inf"),
    "a finite loss over a gradient of nan": lambda decoder, usual: usual + (decoder.embedding.weight[0, 0] * 0).sqrt(),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_a_bad_step_is_skipped_logged_and_dumped_and_the_run_goes_on(bad, micro_batch_size, tmp_path: Path) -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    fine, poison = unequal_batch(), poisoned_batch()
    config = TrainingConfig(steps=3, batch_size=8, micro_batch_size=micro_batch_size, log_every=100)
    fit(Loop(decoder, repeat(fine, poison, fine), config, loss=poisonous(bad)), folder=tmp_path, watcher=watch)
    start, first, second, third = watch.weights
    assert [record.skipped for record in watch.records] == [False, True, False]
    assert not torch.equal(first, start)
    assert torch.equal(second, first)
    assert not torch.equal(third, second)
    assert third.isfinite().all()
    assert [path.name for path in (tmp_path / "skipped").iterdir()] == ["00000002.json"]
    assert json.loads((tmp_path / "skipped" / "00000002.json").read_text())["ids"] == poison.ids.tolist()
    (record,) = (record for record in read_log(tmp_path / "metrics.jsonl") if record.step == 2)
    assert record.skipped
    assert (record.loss in ("nan", "inf")) or record.gradient_norm is None


def test_a_skipped_step_leaves_the_optimizers_memory_as_it_was() -> None:
    memories = []
    for batches in ([unequal_batch()], [unequal_batch(), poisoned_batch()]):
        loop = Loop(
            random_decoder(toy_config("default")), repeat(*batches), TrainingConfig(steps=len(batches)), poisonous()
        )
        list(loop.steps())
        memories.append({name: tensor.clone() for name, tensor in loop.optimizers.tensors().items()})
    one, two = memories
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_too_many_bad_steps_in_a_row_end_the_run_with_a_remedy(tmp_path: Path) -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    config = TrainingConfig(steps=50, batch_size=8, max_bad_steps=3)
    with pytest.raises(UserError, match=r"step 4: loss nan .* lower training\.optimizer\.learning_rate"):
        fit(
            Loop(decoder, repeat(unequal_batch(), *[poisoned_batch()] * 9), config, loss=poisonous()),
            folder=tmp_path,
            watcher=watch,
        )
    assert torch.equal(watch.weights[-1], watch.weights[1])
    assert all(parameter.isfinite().all() for parameter in decoder.parameters())
    assert len(list((tmp_path / "skipped").iterdir())) == 3


def test_bad_steps_that_are_not_in_a_row_never_end_the_run() -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    source = repeat(unequal_batch(), poisoned_batch())
    fit(Loop(decoder, source, TrainingConfig(steps=12, max_bad_steps=2), loss=poisonous()), watcher=watch)
    assert sum(record.skipped for record in watch.records) == 6


def test_the_schedules_rate_reaches_the_optimizer() -> None:
    decoder = random_decoder(toy_config("default"))
    schedule = ScheduleConfig(shape="linear", warmup_steps=0)
    optimizer = AdamWConfig(learning_rate=0.01, weight_decay=0.0)
    loop = Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=4, schedule=schedule, optimizer=optimizer))
    used, step = [], loop.optimizers.step
    loop.optimizers.step = lambda: (used.append(loop.optimizers.members[0].param_groups[0]["lr"]), step())
    list(loop.steps())
    assert used == pytest.approx([0.01, 0.0075, 0.005, 0.0025])


def test_a_caller_may_iterate_over_steps_and_move_the_end_between_them() -> None:
    loop = Loop(random_decoder(toy_config("default")), repeat(unequal_batch()), TrainingConfig(steps=50))
    seen = []
    for record in loop.steps():
        seen.append((record.step, record.steps, loop.step))
        if record.step == 2:
            loop.revise(4)
    assert seen == [(1, 50, 1), (2, 50, 2), (3, 4, 3), (4, 4, 4)]


def test_a_toy_learns_a_batch_by_heart() -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    fit(Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=60)), watcher=watch)
    assert watch.records[0].loss > 3
    assert watch.records[-1].loss < 0.3


def test_hooks_look_before_the_first_step_and_after_the_last_in_evaluation_mode() -> None:
    decoder = random_decoder(toy_config("default", dropout=0.1))
    watch = Watch(decoder)

    @dataclass(frozen=True, kw_only=True)
    class Modes(Record):
        kind = "modes"
        training: bool
        gradients: bool

    class Look:
        def __init__(self, name: str, every: int) -> None:
            self.name, self.every = name, every

        def __call__(self, step: int, decoder: Decoder) -> Modes:
            return Modes(step=step, training=decoder.training, gradients=torch.is_grad_enabled())

        def state(self) -> dict:
            return {}

        def restore(self, state) -> None:
            pass

    hooks = [Look("often", 3), Look("at the end", 0)]
    fit(Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=7)), hooks=hooks, watcher=watch)
    assert [step for kind, step, _ in watch.notes if kind == "often"] == [0, 3, 6, 7]
    assert [step for kind, step, _ in watch.notes if kind == "at the end"] == [7]
    assert all(values == {"training": False, "gradients": False} for _, _, values in watch.notes)


def test_dropout_follows_the_step_and_the_seed_not_the_global_generator() -> None:
    losses = []
    for noise, seed in ((1, 0), (2, 0), (1, 5)):
        torch.manual_seed(noise)
        decoder = random_decoder(toy_config("default", dropout=0.3))
        watch = Watch(decoder)
        fit(
            Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=3), runtime=RuntimeConfig(seed=seed)),
            watcher=watch,
        )
        losses.append([record.loss for record in watch.records])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_bfloat16_trains_close_to_fp32_and_keeps_fp32_weights() -> None:
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        decoder = random_decoder(toy_config("default"))
        watch = Watch(decoder)
        fit(
            Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=2), runtime=RuntimeConfig(dtype=dtype)),
            watcher=watch,
        )
        assert {p.dtype for p in decoder.parameters()} == {torch.float32}
        losses.append(watch.records[0].loss)
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_probe_leaves_the_model_as_it_was() -> None:
    decoder = random_decoder(toy_config("default"))
    before = [p.detach().clone() for p in decoder.parameters()]
    seconds = step_time(decoder, repeat(unequal_batch()), TrainingConfig(), RuntimeConfig(), budget=0.05)
    assert 0 < seconds < 5
    assert all(torch.equal(a, b) for a, b in zip(before, decoder.parameters(), strict=True))
    assert steps_within(10.0, 0.25) == 40
    assert steps_within(0.1, 0.25) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows delivers no SIGTERM to itself")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_no_signal_is_caught() -> None:
    requests = []

    def work() -> None:
        with stop_on_signals() as stop:
            requests.append(stop)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not requests[0].requested
    assert signal.getsignal(signal.SIGINT) is before


def test_a_step_record_cannot_be_changed() -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    fit(Loop(decoder, repeat(unequal_batch()), TrainingConfig(steps=1)), watcher=watch)
    assert watch.records[0].tokens == 8 * 12
    with pytest.raises(dataclasses.FrozenInstanceError):
        watch.records[0].loss = 0.0


def test_a_pace_moves_the_end_and_what_is_left_of_the_schedule_with_it() -> None:
    decoder = random_decoder(toy_config("default"))
    watch = Watch(decoder)
    config = TrainingConfig(steps=50, schedule=ScheduleConfig(shape="linear", warmup_steps=0))
    fit(Loop(decoder, repeat(unequal_batch()), config), watcher=watch, pace=lambda step: 50 if step < 4 else 8)
    assert [record.steps for record in watch.records] == [50] * 4 + [8] * 4
    peak = config.optimizer.learning_rate
    factors = [record.lr / peak for record in watch.records]
    assert factors == pytest.approx([1.0, 0.98, 0.96, 0.94, 0.92, 0.69, 0.46, 0.23])


def test_an_average_of_the_last_steps_is_refused_where_training_may_end_early() -> None:
    config = TrainingConfig(steps=8, tail_average=0.5)
    with pytest.raises(UserError, match=r"--training\.tail-average 0\.5: .* give --patience 0"):
        InstructTrainingConfig(patience=5, training=config)
    InstructTrainingConfig(patience=0, training=config)
