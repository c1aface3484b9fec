"""The commands in Python: the same settings as on the command line, signatures, and results that show themselves."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import scratchlm as slm
import signatures
from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.base.result import Result
from scratchlm.cli import main
from scratchlm.commands import COMMANDS, FUNCTIONS, experiment_command
from scratchlm.finetuning.driver import FinetuneResult
from scratchlm.finetuning.lossconfig import IPOConfig, KTOConfig
from scratchlm.finetuning.rewards import Task, exact
from scratchlm.generation.config import SamplingConfig
from scratchlm.lab.catalogue import EXPERIMENTS
from scratchlm.training.config import TrainingConfig
from scratchlm.weights.checkpoint import find_model, load_model, save_model

ROOT = Path(__file__).resolve().parent.parent
RUN = ["--init", "m", "--data", "d", "--out", "o"]
NAMED = {"init": "m", "data": "d", "out": "o"}
SAME: list[tuple[str, list[str], tuple[Any, ...], dict[str, Any]]] = [
    ("quickstart", ["--minutes", "2"], (), {"minutes": 2}),
    ("doctor", ["--threads", "1"], (), {"threads": 1}),
    ("tokenizer train", ["a", "b", "--out", "o"], (["a", "b"],), {"out": "o"}),
    ("tokenizer inspect", ["t", "words"], ("t", "words"), {}),
    ("tokenizer compare", ["t", "u", "x"], (("t", "u", "x"),), {}),
    (
        "prepare",
        ["a", "--out", "o", "--near-duplicates", "0.8"],
        ("a",),
        {"out": "o", "overrides": {"clean.near_duplicates": 0.8}},
    ),
    ("plan", [], (), {}),
    ("plan", ["tiny", "--no-probe"], ("tiny",), {"probe": False}),
    ("plan", ["speedrun", "--depth", "3"], (), {"recipe": "speedrun", "depth": 3}),
    ("plan", ["deepseek-v3", "--tokens", "5"], ("deepseek-v3",), {"tokens": 5}),
    ("pretrain", ["--data", "d", "--out", "o"], (), {"data": "d", "out": "o"}),
    (
        "pretrain",
        ["tiny", "--data", "d", "--out", "o", "--training.steps", "50"],
        ("tiny",),
        {"data": Path("d"), "out": Path("o"), "overrides": {"training.steps": 50}},
    ),
    (
        "pretrain",
        ["speedrun", "--depth=3", "--data", "d", "--out", "o", "--training.optimizer.steps", "3"],
        ("speedrun",),
        {"depth": 3, "data": "d", "out": "o", "overrides": {"training.optimizer.steps": 3}},
    ),
    ("timelapse", ["a.txt", "--steps", "30", "--prompt", "One"], ("a.txt",), {"steps": 30, "prompt": "One"}),
    ("synthesize", ["a", "b", "--out", "o.jsonl"], (["a", "b"],), {"out": "o.jsonl"}),
    (
        "finetune classify",
        [*RUN, "--lora", "--adapter.rank", "4"],
        (),
        {**NAMED, "lora": True, "overrides": {"adapter.rank": 4}},
    ),
    (
        "finetune instruct",
        [*RUN, "--training.batch-size", "3"],
        (),
        {**NAMED, "overrides": {"training.batch_size": 3}},
    ),
    ("finetune prefer", RUN, (), NAMED),
    (
        "finetune prefer",
        [*RUN, "--method", "kto", "--loss.rejected-weight", "2"],
        (),
        {**NAMED, "method": "kto", "overrides": {"loss.rejected_weight": 2.0}},
    ),
    (
        "finetune prefer",
        [*RUN, "--method=ipo", "--loss.beta", "0.3"],
        (),
        {**NAMED, "loss": IPOConfig(beta=0.3)},
    ),
    (
        "finetune reinforce",
        ["--init", "m", "--out", "o", "--questions", "4"],
        (),
        {"init": "m", "out": "o", "questions": 4},
    ),
    ("classify", ["m", "one", "two"], ("m", ["one", "two"]), {}),
    ("evaluate", ["--compare", "a", "b"], (), {"compare": ("a", "b")}),
    ("evaluate", ["m", "--task", "storyworld", "--limit", "3"], ("m",), {"task": "storyworld", "limit": 3}),
    ("inspect", ["m"], ("m",), {}),
    ("import", ["s", "--out", "o"], (Path("s"),), {"out": "o"}),
    ("export", ["m", "--out", "o", "--to", "gguf"], ("m",), {"out": "o", "to": "gguf"}),
    ("quantize", ["m", "--out", "o", "--to", "int4"], ("m",), {"out": "o", "to": "int4"}),
    ("learn", ["--progress", "p.json"], (), {"progress": "p.json"}),
    ("learn start", ["3", "--out", "o"], ("3",), {"out": "o"}),
    ("learn check", ["3.1", "m.py"], ("3.1", "m.py"), {}),
    ("learn train", ["m.py", "--steps", "5"], ("m.py",), {"steps": 5}),
    (
        "quiz",
        ["--exam", "3", "--notes", "a.md", "--notes", "b.md"],
        (),
        {"exam": 3, "notes": ["a.md", "b.md"]},
    ),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python")
    stories = "\n\n".join(f"The miller said {day * 7} words to the cat on day {day}." for day in range(300))
    (folder / "stories.txt").write_text(stories, encoding="utf-8")
    slm.prepare(folder / "stories.txt", out=folder / "data", vocabulary_size=280, split_on="\\n\\n")
    return folder / "data"


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A run of the smallest recipe, from Python."""
    small = {"training.steps": 4, "training.batch_size": 4, "training.sequence_length": 32}
    slm.pretrain("tiny", data=data, out=data.parent / "run", dtype="fp32", seed=0, overrides=small)
    return data.parent / "run"


@pytest.mark.parametrize("case", SAME, ids=lambda case: " ".join([case[0], *case[1]]))
def test_a_command_line_and_a_call_resolve_to_the_same_config(case) -> None:
    words, arguments, positional, named = case
    command = COMMANDS[words]
    overrides = {**named}.pop("overrides", None)
    named = {key: value for key, value in named.items() if key != "overrides"}
    called = command.from_call(positional, named, overrides)
    assert called == command.from_arguments(arguments)
    assert type(called) is type(command.from_arguments(arguments))


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("form", ["default", "small", "full"])
def test_an_experiment_has_the_values_of_its_form_both_ways(name: str, form: str) -> None:
    command, flags, named = experiment_command(name), [], {}
    if form != "default":
        flags, named = [f"--{form}"], {form: True}
    assert command.from_call((), {**named, "seed": 3}) == command.from_arguments([*flags, "--seed", "3"])


def test_every_command_of_the_command_line_is_compared() -> None:
    assert set(COMMANDS) - {case[0] for case in SAME} == {"generate", "chat", "completion", "serve"}
    # the first two are compared below, with a model


@pytest.mark.parametrize("words", ["generate", "chat"])
def test_sampling_is_as_the_model_was_saved_both_ways(trained: Path, tmp_path: Path, words: str) -> None:
    command = COMMANDS[words]
    saved = load_model(find_model(trained))
    saved.generation = {"temperature": 0.25, "max_tokens": 3}
    save_model(tmp_path / "model", saved)
    called = command.from_call((tmp_path / "model",), {})
    assert called.sampling == SamplingConfig(temperature=0.25, max_tokens=3)
    assert called == command.from_arguments([str(tmp_path / "model")])
    assert command.from_call((tmp_path / "model",), {}, {"sampling.max_tokens": 5}) == command.from_arguments(
        [str(tmp_path / "model"), "--max-tokens", "5"]
    )


@pytest.mark.parametrize("name", ["tiny", "default", "deepseek-v3"])
def test_a_plan_from_python_is_that_of_the_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    flags = [] if name == "deepseek-v3" else ["--no-probe"]
    shown = run(capsys, "plan", name, *flags)[1]
    planned = slm.plan(slm.PlanConfig(name, probe=name == "deepseek-v3"))
    assert f"{planned.parameters:,}" in shown
    assert slm.plan(name, **({} if name == "deepseek-v3" else {"probe": False})) == planned


def test_an_unknown_recipe_offers_the_nearest_from_python_too() -> None:
    with pytest.raises(UserError, match="did you mean 'deepseek-v3'"):
        slm.plan("deepseek-v4")
    for call in (lambda: slm.plan(slm.PlanConfig("nope")), lambda: slm.pretrain("nope", data="d", out="o")):
        with pytest.raises(UserError, match="recipe 'nope': known: "):
            call()


def test_settings_of_a_recipe_have_no_part_in_a_published_plan() -> None:
    with pytest.raises(UserError, match="--depth: has no part in the plan of a published model"):
        slm.plan(slm.PlanConfig("deepseek-v3", depth=3))
    with pytest.raises(UserError, match="--depth: has no part in the plan of a published model"):
        slm.plan("deepseek-v3", depth=3)
    with pytest.raises(UserError, match="--minutes: has no part in the plan of a published model") as caught:
        slm.plan("deepseek-v3", minutes=5.0, mix_after="9=1")
    assert "give" not in str(caught.value)
    with pytest.raises(UserError, match="--tokens: has no part in the plan of a recipe"):
        slm.plan("tiny", tokens=5)


def test_a_recipe_named_in_python_is_what_is_trained_and_recorded(trained: Path, data: Path) -> None:
    assert load_model(find_model(trained)).decoder.config.width == 64
    recorded = (trained / "recipe.toml").read_text(encoding="utf-8")
    for line in ("steps = 4  # flag", "width = 64  # recipe", "clip = 1.0  # default", 'recipe = "tiny"  # flag'):
        assert line in recorded.splitlines()
    main(["pretrain", "tiny", "--data", str(data), "--out", str(data.parent / "again"), "--dtype", "fp32",
          "--seed", "0", "--training.steps", "4",
          "--training.batch-size", "4", "--training.sequence-length", "32"])  # fmt: skip
    assert (data.parent / "again" / "recipe.toml").read_text(encoding="utf-8") == recorded


def test_a_run_is_resumed_with_its_own_settings_from_python_and_from_a_command_line(trained: Path) -> None:
    named = COMMANDS["pretrain"].from_call((), {"resume": trained})
    assert named == COMMANDS["pretrain"].from_arguments(["--resume", str(trained)])
    assert named.training.steps == 4
    for call in (lambda: slm.pretrain(resume=trained, seed=3), lambda: slm.pretrain("speedrun", resume=trained)):
        with pytest.raises(UserError, match=r"the run has .*; a run keeps its settings"):
            call()


def test_a_whole_part_replaces_the_recipes_and_the_other_part_stays(data: Path, tmp_path: Path) -> None:
    training = TrainingConfig(steps=2, batch_size=2, sequence_length=16, sample_every=0)
    result = slm.pretrain(
        slm.PretrainConfig("tiny", data=(data,), out=tmp_path / "run", training=training, dtype="fp32")
    )
    assert result.steps == 2
    recorded = (tmp_path / "run" / "recipe.toml").read_text(encoding="utf-8").splitlines()
    assert "width = 64  # recipe" in recorded
    assert "steps = 2  # flag" in recorded


def test_a_loss_and_a_method_that_differ_are_refused() -> None:
    assert COMMANDS["finetune prefer"].from_call((), {**NAMED, "loss": KTOConfig()}).method == "kto"
    with pytest.raises(UserError, match="--method ipo: but the loss is kto's"):
        slm.PreferTrainingConfig(method="ipo", loss=KTOConfig())


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: slm.pretrain("tiny", dta="data"), "unknown argument 'dta': did you mean 'data'?"),
        (lambda: slm.pretrain("tiny", "data"), "2 arguments without a name; it takes 1: recipe"),
        (lambda: slm.pretrain("tiny", recipe="tiny"), "recipe is given twice"),
        (lambda: slm.pretrain("tiny"), "--data: is missing.*--out: is missing"),
        (lambda: slm.prepare(), "sources, out: missing"),
        (lambda: slm.quickstart(minutes="long"), "minutes is 'long': expected a number"),
        (lambda: slm.quickstart(slm.QuickstartConfig(), minutes=3), "a config holds all settings"),
        (lambda: slm.evaluate(compare=["a"]), "expected 2 values"),
        (lambda: slm.plan(depth="three"), "depth is 'three': expected a whole number"),
        (lambda: slm.plan(overrides={"training.stepz": 3}), "unknown key 'training.stepz': did you mean 'steps'?"),
        (lambda: slm.finetune_prefer(**NAMED, method="ip"), "method is 'ip': expected one of 'dpo'"),
        (lambda: slm.experiment("scaling", smal=True), "unknown argument 'smal': did you mean 'small'?"),
        (lambda: slm.experiment("scalin"), "did you mean 'scaling'?"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_with_the_remedy(call, told: str) -> None:
    with pytest.raises(UserError, match=told.replace("?", r"\?")):
        call()


def test_a_form_of_an_experiment_is_chosen_by_name_not_in_a_whole_config() -> None:
    with pytest.raises(UserError, match="choose the form by name"):
        slm.experiment("scaling", EXPERIMENTS["scaling"].config(small=True))


def test_the_package_lists_its_verbs_and_stays_light() -> None:
    code = (
        "import sys, inspect, scratchlm as slm\n"
        "assert {'pretrain', 'plan', 'doctor', 'experiment', 'load'} <= set(dir(slm))\n"
        "assert 'depth' in inspect.signature(slm.plan).parameters\n"
        "assert 'scratchlm pretrain --help' in slm.pretrain.__doc__\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    assert [name for name in slm.__all__ if getattr(slm, name, None) is None] == []
    assert set(FUNCTIONS) == set(slm._FUNCTIONS)
    assert inspect.signature(slm.prepare).parameters["out"].default is inspect.Parameter.empty


def test_the_signatures_for_editors_are_those_of_the_configs() -> None:
    assert signatures.STUB.read_text(encoding="utf-8") == signatures.rendered(), "run python tests/signatures.py"


@pytest.mark.slow
def test_a_type_checker_follows_the_verbs(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(
        "from pathlib import Path\nimport scratchlm as slm\n"
        'steps: int = slm.pretrain("tiny", data="data", out=Path("run"), overrides={"training.steps": 5}).steps\n'
        'slm.plan(slm.PlanConfig("tiny"))\nslm.prepare("a.txt", out="data")\n'
        'slm.experiment("scaling", small=True)\nslm.quickstart(minutes=3)\n'
        'model = slm.load("run")\n'
        'text: slm.GeneratedText = model.generate("a", max_tokens=3, stop="b", logprobs=True)\n'
        'texts: list[slm.GeneratedText] = model.generate(["a", "b"], temperature=0.0)\n'
        'said: str = model.reply("Hi", top_k=5) + "".join(model.stream_reply([{"role": "user", "content": "Hi"}]))\n'
        "chances: list[float] = [token.logprob for token in text.logprobs or []]\n"
        "def each(record: slm.StepRecord) -> bool:\n    return record.loss < 2.0\n"
        'slm.pretrain("tiny", data=["a", "b"], out="run", on_step=each)\nslm.prepare(data=(t for t in "ab"), out="d")\n'
        'slm.finetune_classify(data=[{"text": "a", "label": 1}], init="run", out="c", on_step=lambda each: None)\n'
        'batches = slm.batches_from("data", rows=4, length=32)\n'
        "decoder = slm.build_decoder(slm.DecoderConfig(), seed=1)\n"
        "for record in slm.Loop(decoder, batches, slm.TrainingConfig(steps=3)).steps():\n    print(record.loss)\n"
        "import torch\nprint(slm.attention_maps(decoder, torch.tensor([[1, 2]]))[0].shape)\n"
        "print(slm.layer_states(decoder, torch.tensor([[1, 2]]))[-1].shape)\n"
    )
    (tmp_path / "wrong.py").write_text(
        'import scratchlm as slm\nslm.pretrain("tiny", dta="data")\nslm.quickstart(minutes="long")\n'
        'model = slm.load("run")\nmodel.generate("a", temprature=1.0)\nmodel.reply("a", max_tokens="3")\n'
    )

    def checked(name: str) -> str:
        command = [sys.executable, "-m", "mypy", str(tmp_path / name)]  # with the settings of pyproject.toml
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout

    assert "Success" in checked("good.py")
    assert "wrong.py:2: error" in (told := checked("wrong.py"))
    assert "wrong.py:3: error" in told
    assert "wrong.py:5: error" in told
    assert "wrong.py:6: error" in told


def test_results_show_themselves_in_a_few_lines(trained: Path) -> None:
    planned = slm.plan("tiny", probe=False)
    assert "131,520" in repr(planned)
    assert len(repr(planned).splitlines()) <= 7
    assert str(planned).count("\n") > repr(planned).count("\n") - 1
    inspected = slm.inspect(trained)
    assert f"{inspected.parameters:,}" in str(inspected)
    assert "a context of 128" in repr(slm.load(trained))


def test_no_result_hides_its_text_behind_a_list_of_fields() -> None:
    found = [command.function() for command in FUNCTIONS.values()]
    assert found
    kinds = [*Result.__subclasses__(), *FinetuneResult.__subclasses__()]
    assert len(kinds) > 15
    assert [kind for kind in kinds if kind.__repr__ is not Result.__repr__] == []


def test_a_config_that_names_the_recipe_of_its_run_goes_on_and_a_whole_part_is_refused(trained: Path) -> None:
    slm.pretrain(slm.PretrainConfig("tiny", resume=trained))
    with pytest.raises(UserError, match="the run has"):
        slm.pretrain(resume=trained, training=TrainingConfig())


def test_fine_tunings_refuse_what_has_no_part_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, more in {
        "classify": ["sequence-length"],
        "instruct": [],
        "prefer": [],
        "reinforce": ["batch-size"],
    }.items():
        flags = RUN if kind != "reinforce" else ["--init", "m", "--out", "o"]
        for name in ["steps", "sample-every", "evaluation-tokens", *more]:
            line = fails(capsys, "finetune", kind, *flags, f"--training.{name}", "1000", code=2)
            assert f"--training.{name}: has no part here" in line
        assert "without --lora" in fails(capsys, "finetune", kind, *flags, "--adapter.rank", "4", code=2)
    assert "--held-out" in fails(capsys, "finetune", "instruct", *RUN, "--held-out", "h", "--split", "tail:0.5", code=2)
    assert "--keep last" in fails(capsys, "finetune", "instruct", *RUN, "--keep", "last", "--patience", "3", code=2)
    with pytest.raises(UserError, match=r"--training\.steps: has no part here; --epochs sets it"):
        slm.finetune_instruct(**NAMED, overrides={"training.steps": 1000})
    with pytest.raises(UserError, match=r"--training\.steps: has no part here"):
        slm.finetune_instruct(slm.InstructTrainingConfig(**NAMED, training=TrainingConfig(steps=7)))


def test_a_call_may_name_values_that_are_the_usual_ones() -> None:
    command = COMMANDS["finetune instruct"]
    named = {**NAMED, "held_out": "h", "split": "auto", "keep": "last", "patience": 5}
    assert command.from_call((), named).held_out == Path("h")
    with pytest.raises(UserError, match="--keep last"):
        command.from_call((), NAMED | {"keep": "last"}, {"patience": 5})


def test_a_config_made_with_text_for_its_paths_is_taken_too(data: Path, tmp_path: Path) -> None:
    given = slm.PretrainConfig("tiny", data=str(data), out=str(tmp_path / "run"))
    assert COMMANDS["pretrain"].from_call((given,), {}).out == tmp_path / "run"
    with pytest.raises(UserError, match="threads is 'x': expected a whole number or nothing"):
        slm.doctor(threads="x")


def test_a_task_of_your_own_reaches_the_fine_tuning(tmp_path: Path) -> None:
    nothing = Task((), (), exact, exact)
    for call in (
        lambda: slm.finetune_reinforce(init="m", out=tmp_path / "run", task=nothing),
        lambda: slm.finetune_reinforce(slm.ReinforceTrainingConfig(Path("m"), out=tmp_path / "run"), task=nothing),
    ):
        with pytest.raises(UserError, match="task: has no question on one side"):
            call()
