"""A run that must end in time: its steps follow a clock, its numbers follow from the revisions that it kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from marks import slow
from scratchlm.base.errors import UserError
from scratchlm.base.runfolder import Revision, read_log
from scratchlm.training.averaging import WeightAverage
from scratchlm.training.checkpoints import TrainingState
from scratchlm.training.config import ScheduleConfig, TrainingConfig
from scratchlm.training.profiling import Deadline, Repeated
from scratchlm.training.schedule import StepPlan, lr_factor
from scratchlm.weights.checkpoint import latest_checkpoint, list_checkpoints, load_training_state
from training.forty_steps import EVERY, STEPS, run

SHAPES = ("linear", "cosine", "stable_decay")


def logged(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "timing"} for record in records]


class Machine:
    """A clock that each step moves on, by what a step takes at that time; a watcher of a run."""

    def __init__(self, seconds: Callable[[float], float], kill_at: int | None = None) -> None:
        self.now = 0.0
        self.seconds, self.kill_at = seconds, kill_at

    def __call__(self) -> float:
        return self.now

    def step(self, record) -> None:
        self.now += self.seconds(self.now)
        if record.step == self.kill_at:
            raise Killed

    def note(self, kind: str, step: int, values) -> None:
        pass


class Killed(BaseException):
    """What no code of the run answers."""


def simulated(machine: Machine, deadline: Deadline) -> int:
    """Return the steps of a run that does nothing but take time."""
    step = 0
    while step < deadline(step):
        step += 1
        machine.now += machine.seconds(machine.now)
    return step


@pytest.mark.parametrize(
    ("seconds", "most"),
    [
        (lambda now: 1.0, 120),
        (lambda now: 1.0 if now < 20 else 0.25, 420),  # another program ran at first
        (lambda now: 0.25, 480),  # or while the probe did
        (lambda now: 1.0 if now < 60 else 4.0, 75),
        (lambda now: 4.0, 30),
    ],
)
def test_a_machine_uses_its_time_whatever_the_probe_saw(seconds: Callable[[float], float], most: int) -> None:
    machine = Machine(seconds)
    steps = simulated(machine, Deadline(120.0, 1.0, machine))
    assert 0.94 * 120 <= machine.now <= 120 + 2 * seconds(120)
    assert 0.9 * most <= steps <= most + 2


def test_time_that_is_kept_for_the_end_grows_where_steps_are_slower() -> None:
    for factor in (1.0, 3.0):
        machine = Machine(lambda now, factor=factor: factor)
        simulated(machine, Deadline(300.0, 1.0, machine, after=15.0))
        assert machine.now == pytest.approx(300.0 - 15.0 * factor, abs=2 * factor)


def test_a_clock_is_looked_at_rarely_and_small_changes_change_nothing() -> None:
    turns = itertools.cycle([0.99, 1.01, 1.0])
    machine = Machine(lambda now: next(turns))
    deadline = Deadline(500.0, 1.0, machine)
    plans, step = [], 0
    while step < (plan := deadline(step)):
        plans.append(plan)
        step += 1
        machine.now += machine.seconds(machine.now)
    assert len(set(plans)) <= 3
    assert machine.now == pytest.approx(500.0, abs=3.0)


def test_a_probe_that_expected_far_too_much_of_a_step_is_corrected() -> None:
    machine = Machine(lambda now: 1.0)
    assert simulated(machine, Deadline(100.0, 1e6, machine)) == pytest.approx(100, abs=3)


def factors(plan: StepPlan, revisions: Sequence[tuple[int, int]], config: ScheduleConfig) -> list[float]:
    """Return the rate of every step of a run that is revised on its way."""
    waiting, found, step = list(revisions), [], 0
    while step < plan.steps:
        if waiting and waiting[0][0] == step:
            plan.revise(*waiting.pop(0))
        found.append(lr_factor(plan.place(step), plan.first, config))
        step += 1
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("revisions", [[(50, 800)], [(10, 60)], [(180, 400), (390, 395)], [(30, 90), (60, 300)]])
def test_a_revision_never_makes_the_rate_jump_or_rise(shape, revisions: list[tuple[int, int]]) -> None:
    config = ScheduleConfig(shape=shape, warmup_steps=5, final_fraction=0.1)
    rates = factors(StepPlan(200), revisions, config)
    assert len(rates) == revisions[-1][1]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(rates[6:]))
    left = min(steps - step for step, steps in [(0, 200), *revisions])
    assert max(abs(a - b) for a, b in itertools.pairwise(rates[6:])) <= 2.0 / left
    assert rates[-1] == pytest.approx(0.1, abs=1.8 / left)


def test_before_the_way_down_a_revision_changes_no_rate() -> None:
    config = ScheduleConfig(shape="stable_decay", warmup_steps=5, decay_fraction=0.5)
    assert factors(StepPlan(200), [(90, 400)], config)[5:100] == [1.0] * 95
    assert factors(StepPlan(200), [], config) == [lr_factor(step, 200, config) for step in range(200)]


def test_a_plan_is_told_again_by_its_revisions_alone() -> None:
    plan = StepPlan(100)
    for step, steps in ((10, 300), (40, 250), (249, 251)):
        plan.revise(step, steps)
    again = StepPlan(plan.first, json.loads(json.dumps(plan.revisions)))
    assert [again.place(step) for step in (249, 250)] == [plan.place(step) for step in (249, 250)]
    assert again.place(251) == plan.first == 100
    for step, steps in ((248, 300), (300, 300)):  # the first goes back, the second has no step left
        with pytest.raises(ValueError, match=f"a revision at step {step} to {steps}"):
            plan.revise(step, steps)


def test_a_tail_average_holds_the_last_part_of_a_revised_schedule() -> None:
    model, plan = nn.Linear(1, 1, bias=False), StepPlan(100)
    average = WeightAverage(model, TrainingConfig(tail_average=0.2))
    for step in range(1, 181):
        with torch.no_grad():
            model.weight.fill_(float(step))
        if step == 20:
            plan.revise(20, 180)  # so that each step is half of one
        if step == 170:
            plan.revise(170, 175)
        average.update(step, plan)
        if step == plan.steps:
            break
    first = plan.reaches(81)
    assert first == 142  # 20 and 61 doubled
    assert model.weight.item() == pytest.approx(sum(range(first, 176)) / (176 - first), rel=1e-4)


def test_kept_revisions_are_repeated_and_then_the_clock_decides_again() -> None:
    kept: list[list[list[int]]] = []
    wish = {0: 10, 3: 20, 6: 30}

    def clock(step: int) -> int:
        return next(steps for at, steps in sorted(wish.items(), reverse=True) if at <= step)

    first = Repeated(clock, 10, lambda revisions: kept.append([list(each) for each in revisions]))
    assert [first(step) for step in range(8)] == [10, 10, 10, 20, 20, 20, 30, 30]
    assert kept[-1] == [[3, 20], [6, 30]]
    wish = {0: 99, 9: 50}
    assert [first(step) for step in (4, 5, 6, 7)] == [20, 20, 30, 30]  # a return to a checkpoint
    second = Repeated(clock, 10, lambda revisions: kept.append(revisions), kept[-1], reached=8)
    assert [second(step) for step in (2, 3, 6, 8, 9)] == [10, 20, 30, 30, 50]
    assert kept[-1] == [[3, 20], [6, 30], [9, 50]]


def paced(machine: Machine, kept: list, folder: Path | None = None) -> Repeated:
    """Return the pace of a run of sixty seconds, which goes on from what was kept where it has a folder."""
    reached = -1 if folder is None else max(record["step"] for record in logged(folder))
    before = [list(each) for each in kept]
    steps = before[-1][1] if before else STEPS

    def keep(revisions: list[list[int]]) -> None:
        kept[:] = [list(each) for each in revisions]

    return Repeated(Deadline(60.0, 1.5, machine, steps=steps), STEPS, keep, before, reached)


@pytest.mark.parametrize(("name", "kills"), [slow("every part", [26]), ("muon", [5]), slow("muon", [24, 23, 31])])
def test_a_run_that_was_killed_ends_with_the_weights_of_one_with_the_same_revisions(
    tmp_path: Path, name: str, kills: list[int]
) -> None:
    kept: list[list[int]] = []
    for start, kill_at in enumerate([*kills, None]):
        before = [list(each) for each in kept]
        seconds = 0.6 if start == len(kills) else 1.0
        machine = Machine(lambda now, seconds=seconds: seconds, kill_at)
        pace = paced(machine, kept, tmp_path / "killed" if start else None)
        if kill_at is None:
            seed = 9 if kills[0] > EVERY else 0  # without a checkpoint it begins again
            run(tmp_path / "killed", name, resume=True, seed=seed, watcher=machine, pace=pace)
        else:
            with pytest.raises(Killed):
                run(tmp_path / "killed", name, resume=start > 0, seed=start, watcher=machine, pace=pace)
        assert kept[: len(before)] == before  # repeated
    assert len(kept) > 1, kept
    assert kept != before, kept  # the clock decided again

    def again(step: int) -> int:
        return next((steps for at, steps in reversed(kept) if at <= step), STEPS)

    run(tmp_path / "whole", name, pace=again)
    ends = [latest_checkpoint(tmp_path / folder / "checkpoints") for folder in ("killed", "whole")]
    assert ends[0].name == ends[1].name == f"{kept[-1][1]:08d}"
    assert (ends[0] / "model.safetensors").read_bytes() == (ends[1] / "model.safetensors").read_bytes()
    (tensors, state), (others, other_state) = map(load_training_state, ends)
    assert all(torch.equal(tensors[key], others[key]) for key in others)
    assert state == other_state
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    records = [r for r in read_log(tmp_path / "whole" / "metrics.jsonl") if isinstance(r, Revision)]
    assert [[record.step, record.steps] for record in records] == kept
    assert state["revisions"] == kept


def test_a_revision_after_the_latest_checkpoint_is_in_the_log_and_in_the_next_one(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, "muon", watcher=Machine(lambda now: 1.0, 11), pace=lambda step: STEPS if step < 9 else 30)
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == [f"{EVERY:08d}"]
    assert load_training_state(latest_checkpoint(tmp_path / "checkpoints"))[1]["revisions"] == []
    assert {"kind": "revision", "step": 9, "steps": 30} in logged(tmp_path)


def test_a_damaged_list_of_revisions_is_refused() -> None:
    common = {"step": 9, "bad_steps": 0, "batches": None, "scaler": {}, "hooks": {}, "log_lines": 0}
    TrainingState(**common, steps=30, planned=40, revisions=[(3, 30)])
    for revisions in ([(3, 2)], [(5, 30), (4, 20)]):
        with pytest.raises(UserError, match=r"state\.revisions: a revision at step"):
            TrainingState(**common, steps=30, planned=40, revisions=revisions)
