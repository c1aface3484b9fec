"""A batch that is far worse than those before it is skipped; a loss that rises sends the run back to a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from marks import slow
from scratchlm.base.errors import Interrupted
from scratchlm.base.runfolder import Rollback, Train, read_log
from scratchlm.base.signals import StopRequest
from scratchlm.data.batches import IGNORED, Batch
from scratchlm.model.config import MultiTokenPredictionConfig
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.checkpoints import Checkpoints
from scratchlm.training.config import AdamWConfig, SpikeConfig, TrainingConfig
from scratchlm.training.fit import fit
from scratchlm.training.loop import Loop
from scratchlm.training.loss import next_token_loss
from scratchlm.training.spikes import RECENT, DivergenceError, SpikeWatch
from scratchlm.weights.checkpoint import SavedModel
from toys import VOCABULARY, byte_tokenizer, random_decoder, random_ids, toy_config

POISON = VOCABULARY - 1
WINDOW = 8


def noisy(mean: float, count: int, seed: int = 0) -> list[float]:
    return [float(each) for each in np.random.default_rng(seed).normal(mean, 0.05, count)]


def watching(losses: list[float], sigma: float = 6.0) -> SpikeWatch:
    watch = SpikeWatch(SpikeConfig(sigma=sigma))
    watch.begin((16, 64))
    for step, loss in enumerate(losses, 1):
        watch.add(step, loss, loss / 3)
    return watch


def test_only_what_is_far_above_the_last_steps_is_a_problem() -> None:
    watch = watching(noisy(3.0, 128))
    assert watch.problem(3.2, 1.0) is None
    assert watch.problem(1.0, 0.1) is None
    assert "loss 3.6, over" in (watch.problem(3.6, 1.0) or "")
    assert "gradient norm 1.5, over" in (watch.problem(3.0, 1.5) or "")
    watch.clipped = True
    assert watch.problem(3.0, 1.5) is None
    assert "not finite" in (watch.problem(float("nan"), 1.0) or "")
    assert "not finite" in (watch.problem(3.0, float("inf")) or "")


def test_the_first_steps_and_those_of_another_shape_are_compared_with_nothing() -> None:
    watch = watching(noisy(3.0, 63))
    assert watch.problem(30.0, 1.0) is None
    watch.add(64, 3.0, 1.0)
    assert watch.problem(30.0, 1.0) is not None
    watch.begin((16, 64))
    assert watch.problem(30.0, 1.0) is not None
    watch.begin((16, 256))
    assert watch.problem(30.0, 1.0) is None


def test_with_sigma_0_only_what_is_not_finite_is_a_problem() -> None:
    watch = watching([*noisy(3.0, 128), *noisy(30.0, 128)], sigma=0.0)
    assert watch.problem(900.0, 900.0) is None
    assert watch.risen() is None
    assert watch.problem(float("inf"), 1.0) is not None


def test_a_loss_near_0_may_move() -> None:
    watch = watching([0.001] * 128)
    assert watch.problem(0.05, 0.001 / 3) is None


def test_a_slow_rise_is_noticed_and_its_lowest_step_known() -> None:
    falling = [5 - 2 * step / 400 + noise for step, noise in enumerate(noisy(0, 400))]
    watch = watching(falling)
    assert watch.risen() is None
    low = watch.good_step
    assert low is not None
    assert low > 380
    risen_at = None
    for step, noise in enumerate(noisy(0, 400, seed=1), 401):
        loss = 3 + (step - 400) / 200 + noise
        assert watch.problem(loss, 1.0) is None  # each step alone is inconspicuous
        watch.add(step, loss, 1.0)
        if risen_at is None and watch.risen() is not None:
            risen_at = step
    assert risen_at is not None
    assert risen_at - low < 4 * RECENT
    assert watch.good_step is not None
    assert watch.good_step <= low + RECENT


def test_a_watch_that_was_kept_and_read_again_judges_alike() -> None:
    one, other = watching([*noisy(3.0, 200), *noisy(3.2, 40)]), SpikeWatch(SpikeConfig(sigma=6.0))
    other.restore(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    for loss in (3.0, 3.3, 3.5, 4.0):
        assert other.problem(loss, loss / 3) == one.problem(loss, loss / 3)
    assert other.risen() == one.risen()


def test_a_row_far_above_the_others_is_bad_and_one_that_is_merely_hard_is_not() -> None:
    watch = watching([])
    draw = torch.Generator().manual_seed(0)
    for step in range(1, 65):
        assert not watch.bad_rows(torch.tensor([30.0])).any()
        watch.add(step, 4.0, 1.0, 4 + 0.3 * torch.randn(16, generator=draw))
    rows = torch.tensor([4.0, 4.9, 5.7, 6.5, 9.0])
    assert watch.bad_rows(rows).tolist() == [False, False, False, True, True]
    assert watch.problem(4.0, 1.0, torch.tensor([4.0] * 15 + [9.0])) is None
    assert "5 of 16 rows have a loss over 5." in (watch.problem(4.0, 1.0, torch.tensor([4.0] * 11 + [9.0] * 5)) or "")
    steady = watching([])
    for step in range(1, 65):
        steady.add(step, 0.01, 0.01, torch.full((16,), 0.01))
    assert steady.bad_rows(torch.tensor([0.5, 0.9, 1.2])).tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["default", "speedrun"])
@pytest.mark.parametrize("rows", [None, 2])
def test_a_step_without_its_bad_rows_is_that_of_the_other_rows(name: str, rows: int | None) -> None:
    ids = random_ids(8, 13, POISON)
    batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
    batch.targets[1, 4:] = IGNORED
    bad = torch.tensor([False, True, False, False, True, False, False, False])
    config = toy_config(name, multi_token_prediction=MultiTokenPredictionConfig())
    seen: list[torch.Tensor] = []

    def note(losses: torch.Tensor) -> torch.Tensor:
        seen.append(losses)
        return torch.zeros(len(losses), dtype=torch.bool)

    next_token_loss(random_decoder(config), batch, note)
    of_bad = seen[0][bad]

    def step(of: Batch) -> tuple[int, torch.Tensor, dict[str, torch.Tensor]]:
        decoder, found = random_decoder(config), {}
        loop = Loop(
            decoder,
            lambda state: iter([(of, {"index": 1})]),
            TrainingConfig(steps=1, batch_size=8, micro_batch_size=rows, clip=None, spikes=SpikeConfig(sigma=6.0)),
        )
        loop.watch.bad_rows = lambda losses: torch.isclose(losses[:, None], of_bad, atol=1e-5).any(1)
        loop.optimizers.step = lambda: found.update(
            {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}
        )
        (record,) = loop.steps()
        return record.left_out, torch.tensor(record.loss), found

    (left, loss, gradients), (none, loss_alone, alone) = step(batch), step(batch.select(~bad))
    assert (left, none) == (2, 0)
    torch.testing.assert_close(loss, loss_alone)
    assert gradients.keys() == alone.keys()
    for each, gradient in alone.items():
        torch.testing.assert_close(gradients[each], gradient, rtol=1e-4, atol=1e-6)


# --- whole runs


def source_of(bad: set[int]):
    """Batches numbered from 1 on; those in `bad` hold the poisoned id."""

    def source(state) -> Iterator:
        place = 0 if state is None else state["index"]
        while True:
            place += 1
            ids = random_ids(4, 9, POISON, seed=place)
            if place in bad:
                ids[0, 3] = POISON
            yield Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous()), {"index": place}

    return source


def leaping(factor: float):
    """The usual loss, so many times as high where the batch is poisoned."""

    def loss(decoder, batch: Batch) -> torch.Tensor:
        return next_token_loss(decoder, batch) * (factor if (batch.ids == POISON).any() else 1)

    return loss


def train(
    folder: Path,
    bad: set[int],
    *,
    steps: int = 40,
    resume: bool = False,
    stop_at: int = 0,
    factor: float = 10,
    **spikes,
) -> Loop:
    """Train a toy whose batches in `bad` have a loss `factor` times as high."""
    decoder = random_decoder(toy_config("default"))
    told = {"sigma": 6.0, "window": WINDOW, **spikes}
    config = TrainingConfig(
        steps=40, batch_size=4, optimizer=AdamWConfig(learning_rate=1e-3), spikes=SpikeConfig(**told), log_every=1,
        checkpoint_every=10, max_bad_steps=3,
    )  # fmt: skip
    loop, stop = Loop(decoder, source_of(bad), config, leaping(factor)), StopRequest()

    class Stopping:
        def step(self, record) -> None:
            if record.step == stop_at:
                stop()

        def note(self, *told) -> None:
            pass

    tokenizer: Tokenizer = byte_tokenizer()
    checkpoints = Checkpoints(folder / "checkpoints", SavedModel(decoder, tokenizer), keep=2, every=10)
    fit(loop, folder=folder, checkpoints=checkpoints, watcher=Stopping(), stop=stop, resume=resume)
    return loop


def weights(loop: Loop) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in loop.decoder.parameters()])


def log_of(folder: Path) -> list:
    return [(record.kind, record.step, record.values()) for record in read_log(folder / "metrics.jsonl")]


def test_a_batch_that_leaps_never_reaches_the_weights(tmp_path: Path) -> None:
    with_it = train(tmp_path / "one", {20})
    skipped = [record.step for record in read_log(tmp_path / "one" / "metrics.jsonl") if getattr(record, "skipped", 0)]
    assert skipped == [20]
    kept = json.loads((tmp_path / "one" / "skipped" / "00000020.json").read_text())
    assert "loss" in kept["problem"]
    assert "standard deviations" in kept["problem"]
    assert POISON in kept["ids"][0]
    unguarded = train(tmp_path / "two", {20}, sigma=0.0)
    assert not torch.equal(weights(with_it), weights(unguarded))
    assert not (tmp_path / "two" / "skipped").exists()


def test_a_stretch_of_bad_batches_is_left_behind_and_the_run_ends_well(tmp_path: Path) -> None:
    loop = train(tmp_path, {24, 25, 26})
    records = list(read_log(tmp_path / "metrics.jsonl"))
    (back,) = [record for record in records if isinstance(record, Rollback)]
    assert (back.step, back.from_step) == (20, 25)
    assert "3 steps in a row" in back.reason
    steps = [record.step for record in records if isinstance(record, Train)]
    assert steps == list(range(1, 41))  # what came after the checkpoint is gone from the log
    assert loop.batch_state == {"index": 46}  # 40 steps, and six batches that are not read again
    assert loop.rollbacks == 1


@pytest.mark.parametrize("stop_at", [slow(19), 22, slow(24), 27, slow(33)])
def test_a_run_that_returned_resumes_bit_for_bit(tmp_path: Path, stop_at: int) -> None:
    bad = {15, 24, 25, 26}
    whole = train(tmp_path / "whole", bad)
    with pytest.raises(Interrupted):
        train(tmp_path / "broken", bad, stop_at=stop_at)
    resumed = train(tmp_path / "broken", bad, resume=True)
    assert torch.equal(weights(whole), weights(resumed))
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "broken")


def test_a_run_that_no_return_helps_ends_with_a_remedy(tmp_path: Path) -> None:
    told = r"3 steps in a row.* after 2 returns to a checkpoint; lower training\.optimizer\.learning_rate"
    with pytest.raises(DivergenceError, match=told):
        train(tmp_path, set(range(24, 200)), factor=float("nan"), max_rollbacks=2)


def test_a_loss_that_stays_high_is_taken_as_it_is_after_one_return(tmp_path: Path) -> None:
    loop = train(tmp_path, set(range(24, 200)))  # another kind of text, say
    assert loop.rollbacks == 1
    assert loop.step == 40


def test_without_a_checkpoint_numbers_that_are_not_finite_end_the_run(tmp_path: Path) -> None:
    told = r"not finite, 3 steps in a row.*; lower training\.optimizer\.learning_rate"
    with pytest.raises(DivergenceError, match=told):
        train(tmp_path / "nan", {7, 8, 9}, factor=float("nan"))
    assert train(tmp_path / "high", {7, 8, 9}).step == 40  # finite ones do not


def test_a_loop_alone_goes_on_from_a_loss_that_stays_high() -> None:
    config = TrainingConfig(steps=40, batch_size=4, spikes=SpikeConfig(sigma=6.0, window=WINDOW), max_bad_steps=3)
    loop = Loop(random_decoder(toy_config("default")), source_of(set(range(20, 99))), config, leaping(10))
    assert [record.step for record in loop.steps() if record.skipped] == [20, 21, 22]
