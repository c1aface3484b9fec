"""Experiments as commands, on toy data: a result, its replay, resuming after an interruption, wrong input."""

from __future__ import annotations

import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from commands import fails, files_that_name, run
from scratchlm.base.errors import UserError
from scratchlm.base.folders import write_marker
from scratchlm.classic.ngram_fast import KneserNey
from scratchlm.cli import main
from scratchlm.commands import experiment_command
from scratchlm.lab.catalogue import EXPERIMENTS, recipe
from scratchlm.lab.experiments.config import LadderLmConfig, LadderSpamConfig
from scratchlm.lab.experiments.ladder_lm.measure import Counted
from scratchlm.lab.experiments.ladder_spam import measure as ladder_spam
from scratchlm.lab.experiments.ladder_spam.measure import at_threshold
from scratchlm.lab.experiments.ladder_translate.measure import read_pairs
from scratchlm.lab.harness.outcome import Claim, Outcome, Value, read_outcome, replayed, write_outcome
from scratchlm.lab.harness.steps import FILES, FOLDER_KIND
from scratchlm.lab.run import write_report
from scratchlm.lab.shared.booktext import BookText
from scratchlm.lab.shared.folds import read_folded, read_folds, text_hash

WORDS = ["the", "a", "fox", "river", "stone", "old", "sings", "walks", "to", "and", "under", "sees"]
SMALL = (
    *("--folds", "1", "--pretraining-steps", "2", "--epochs", "0.2", "--recurrent-epochs", "0.2"),
    *("--learning-rates", "0.01", "--recurrent-learning-rates", "0.004", "--recurrent-learning-rates", "0.008"),
)


@pytest.fixture(scope="module")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with books, a set of pairs, and messages of two kinds; no test changes it."""
    draw = random.Random(1)
    folder = tmp_path_factory.mktemp("toy") / "data"
    (folder / "pretrain").mkdir(parents=True)
    (folder / "evaluate" / "blimp").mkdir(parents=True)
    (folder / "classify").mkdir()
    books = [" ".join(draw.choices(WORDS, k=900)) + "." for _ in range(12)]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in books)
    (folder / "pretrain" / "books.jsonl").write_text(lines, encoding="utf-8")
    pairs = [{"sentence_good": f"the {w} walks", "sentence_bad": f"{w} the walks"} for w in WORDS[2:6]]
    file = folder / "evaluate" / "blimp" / "order.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    spam = [f"win a {draw.choice(WORDS)} prize now, txt {draw.randrange(10000, 99999)}" for _ in range(30)]
    ham = [" ".join(draw.choices(WORDS, k=5)) + f" {number}" for number in range(60)]
    rows = [f"spam\t{text}" for text in spam] + [f"ham\t{text}" for text in ham]
    draw.shuffle(rows)
    (folder / "classify" / "sms-spam.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def spam(toy_data: Path, out: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("experiment", "ladder-spam", "--data", toy_data, "--out", out, "--vocabulary-size", "280", *SMALL, *more)


@pytest.fixture(scope="module")
def finished(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was left alone; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("finished") / "run"
    main([str(argument) for argument in spam(toy_data, out)])
    return out


def test_methods_are_compared_reported_and_replayed(
    toy_data: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    code, out, err = run(capsys, *spam(toy_data, tmp_path / "run"))  # reports the stored steps again
    assert code == 0, err
    assert "hand-written rules" in out
    assert "holds: " in out
    outcome = read_outcome(tmp_path / "run" / "result.json")
    assert {"majority.f1", "svm.f1", "svm.gain", "svm.detectable", "pretrained.f1"} <= set(outcome.values)
    assert {"svm.train_seconds", "lstm.item_microseconds"} <= set(outcome.timings)
    assert outcome.values["rules.f1"].value > outcome.values["majority.f1"].value == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "hand-written rules" in page
    assert "http://" not in page
    code, out, err = run(
        capsys, "experiment", "ladder-spam", "--data", toy_data, "--replay", tmp_path / "run" / "result.json",
        "--out", tmp_path / "again",
    )  # fmt: skip
    assert code == 0, err
    assert f"{len(outcome.values)} values and {len(outcome.claims)} claims are reproduced" in " ".join(out.split())


@pytest.mark.slow
def test_a_published_model_can_be_added_and_can_move_before_a_replay(
    toy_data: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    published = tmp_path / "run" / "pretrained"
    code, _, err = run(capsys, *spam(toy_data, tmp_path / "more", "--init", published))
    assert code == 0, err
    alone, more = (read_outcome(tmp_path / name / "result.json") for name in ("run", "more"))
    assert {key: more.values[key] for key in alone.values} == alone.values
    assert {"asked.f1", "lora.f1", "lora.gain"} <= set(more.values)
    assert "published-beats-svm" not in more.claims  # its settings were chosen on the only folds of this run
    assert more.settings["init"] == "../run/pretrained"
    assert files_that_name(tmp_path, tmp_path) == []
    code, out, err = run(capsys, *spam(toy_data, tmp_path / "run", "--init", published))  # it can be added later
    assert (code, f"{len(list((tmp_path / 'run' / 'steps').iterdir())) - 2} steps were taken" in out) == (0, True), err
    assert read_outcome(tmp_path / "run" / "result.json").values == more.values
    shutil.move(published, tmp_path / "moved")
    again = ("experiment", "ladder-spam", "--data", toy_data, "--replay", tmp_path / "more" / "result.json")
    assert "no such" in fails(capsys, *again, "--out", tmp_path / "again")
    code, out, err = run(capsys, *again, "--init", tmp_path / "moved", "--out", tmp_path / "again")
    assert (code, "are reproduced" in out) == (0, True), err


@pytest.mark.slow
def test_language_models_are_compared(toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("experiment", "ladder-lm", "--data", toy_data, "--out", tmp_path / "run")
    small = (
        "--megabytes",
        "0.1",
        "--vocabulary-size",
        "280",
        "--depths",
        "1",
        "--recurrent-widths",
        "8",
        "--seeds",
        "2",
    )
    code, out, err = run(capsys, *place, *small, "--pairs", "3", "--sample-tokens", "5", "--epochs", "0.5")
    assert code == 0, err
    assert "Kneser-Ney" in out
    outcome = read_outcome(tmp_path / "run" / "result.json")
    values = outcome.values
    assert values["kneser.bits_per_byte"].value > 0
    assert all(value in (0, 1 / 3, 2 / 3, 1, 0.5) for value in values["transformer.blimp"].seeds)
    assert len(values["lstm.bits_per_byte"].seeds) == 2
    assert values["kneser.bits_per_byte"].seeds == values["tuning.lstm.Muon"].seeds == ()  # what no seed changes
    assert len(outcome.samples) == 10
    tried = [key for key in values if key.startswith(("tuning.lstm.", "tuning.transformer.")) and key.count(".") > 2]
    assert len(tried) == 16
    assert len([key for key in values if key.startswith("full.lstm.")]) in (2, 3, 4)
    assert values["kneser.order"].value in range(1, 7)
    seeds = [path.stem for path in (tmp_path / "run" / "seed-1" / "steps").iterdir()]
    trained = ["lstm", "lstm_in_time", "lstm_longer", "transformer", "longer"]
    assert sorted(seeds) == sorted([*trained, "less-lstm", "less-transformer", "less-repeated"])


@pytest.mark.slow
def test_kinds_of_tokens_are_compared(toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("experiment", "objective", "--data", toy_data, "--out", tmp_path / "run", "--depth", "1")
    small = ("--megabytes", "0.05", "--vocabulary-size", "280", "--epochs", "1", "--sample-tokens", "5")
    code, _, err = run(capsys, *place, *small)
    assert code == 0, err
    outcome = read_outcome(tmp_path / "run" / "result.json")
    values = {key: value.value for key, value in outcome.values.items()}
    assert values["bytes.text.epochs"] == pytest.approx(values["sub-words.epochs"], rel=0.1)
    assert values["bytes.steps"] == values["words.steps"] == values["sub-words.steps"]
    assert values["bytes.compute.steps"] >= values["sub-words.steps"]
    assert values["bytes.text.steps"] > 1.5 * values["sub-words.steps"]
    assert 0 < values["words.unknown_share"] < 0.01  # twelve words, and one that was cut off where a book ends
    assert values["words.least.bits_per_byte"] < values["words.bits_per_byte"] < values["words.charged"]
    assert outcome.claims["begins-by-guessing"].holds
    assert all(claim.control for claim in outcome.claims.values())
    table = outcome.tables[1]
    assert [row[0] for row in table.rows][:4] == ["bytes", "characters", "sub-words", "words"]
    assert table.rows[3][3] == ""  # words at equal compute are those at equal steps


def test_an_interrupted_run_resumes_and_ends_with_the_same_numbers(
    toy_data: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ladder_spam.on_fold

    def stop_at_the_svm(method, *given):  # type: ignore[no-untyped-def]
        if method.key == "svm":
            raise KeyboardInterrupt
        return whole(method, *given)

    monkeypatch.setattr(ladder_spam, "on_fold", stop_at_the_svm)
    code, out, err = run(capsys, *spam(toy_data, tmp_path / "run"))
    assert (code, out) == (130, "")
    assert "the same command goes on" in err
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run" / "steps").iterdir()}
    assert "bayes-0.json" in kept
    assert "svm-0.json" not in kept
    monkeypatch.setattr(ladder_spam, "on_fold", whole)
    code, out, err = run(capsys, *spam(toy_data, tmp_path / "run"))
    assert code == 0, err
    assert f"{len(kept)} steps were taken from an earlier call" in out
    assert all((tmp_path / "run" / "steps" / name).read_bytes() == data for name, data in kept.items())
    one, other = (read_outcome(folder / "result.json") for folder in (tmp_path / "run", finished))
    assert one.values == other.values
    assert one.samples == other.samples


def test_small_refutes_no_claim_and_its_result_stores_the_verdicts(tmp_path: Path) -> None:
    claims = {"a": Claim("Models learn", False), "b": Claim("Rules are cheap", True)}
    for small, wrong, right in (
        (True, "too small to judge (would not hold)", "holds with --small"),
        (False, "does not hold", "holds"),
    ):
        outcome = Outcome("ladder-spam", "?", settings={"small": small}, claims=dict(claims))
        file = io.StringIO()
        Console(file=file, width=200).print(outcome)
        assert f"{wrong}: Models learn" in file.getvalue()
        assert f"{right}: Rules are cheap" in file.getvalue()
        write_report(tmp_path, outcome)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert wrong.partition(" (")[0] in page
        assert right in page
        assert ("for a verdict" in page) == small
        assert ('class="chip bad"' in page) != small
        write_outcome(tmp_path / "result.json", outcome)
        stored = read_outcome(tmp_path / "result.json")
        assert stored.claims == claims
        assert "2 claims are reproduced" in replayed(stored, outcome)
        other = Outcome(
            "ladder-spam", "?", settings={"small": small}, claims={**claims, "a": Claim("Models learn", True)}
        )
        with pytest.raises(UserError, match=r"a: was .*, is now holds"):
            replayed(stored, other)


def test_a_folder_of_other_settings_is_refused_and_started_over_with_force(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    assert "exists and holds no experiment" in fails(capsys, *spam(toy_data, out))
    (out / "mine.txt").unlink()
    (out / "experiment.json").write_text('{"kind": "steps of a scratchlm experiment", "key": "another"}')
    assert "holds steps of other settings" in fails(capsys, *spam(toy_data, out))
    (out / "result.json").write_text("what was found before")
    assert "holds experiment.json, which no experiment wrote" in fails(capsys, *spam(toy_data, out), "--force")
    write_marker(out, FOLDER_KIND, FILES)
    (out / "mine.txt").write_text("kept")
    assert "holds mine.txt, which no experiment wrote" in fails(capsys, *spam(toy_data, out), "--force")
    (out / "mine.txt").unlink()
    assert run(capsys, *spam(toy_data, out), "--force")[0] == 0
    assert read_outcome(out / "result.json").name == "ladder-spam"


@pytest.mark.slow
def test_a_replay_removes_an_earlier_replay_and_nothing_else(
    toy_data: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("run", "other"):
        shutil.copytree(finished, tmp_path / name)
    kept = (tmp_path / "other" / "result.json").read_bytes()
    again = ("experiment", "ladder-spam", "--data", toy_data, "--replay", tmp_path / "run" / "result.json", "--out")
    assert "holds steps of other settings" in fails(capsys, *again, tmp_path / "other")
    assert (tmp_path / "other" / "result.json").read_bytes() == kept
    for _ in range(2):
        code, out, err = run(capsys, *again, tmp_path / "again")
        assert (code, "are reproduced" in out) == (0, True), err


def test_other_data_are_refused_before_anything_is_measured(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = Outcome("ladder-spam", "?", settings={}, data={"texts": "0" * 64})
    write_outcome(tmp_path / "stored.json", stored)
    place = ("experiment", "ladder-spam", "--data", toy_data, "--replay", tmp_path / "stored.json")
    assert "texts: differs from the file that the stored result" in fails(capsys, *place, "--out", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_result_is_not_replayed_into_its_own_folder(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_outcome(tmp_path / "run" / "result.json", Outcome("ladder-spam", "?", settings={}))
    place = ("experiment", "ladder-spam", "--data", toy_data, "--replay", tmp_path / "run" / "result.json")
    assert "holds the result to be replayed" in fails(capsys, *place, "--out", tmp_path / "run")
    assert "is a result of ladder-spam" in fails(
        capsys, "experiment", "ablations", "--replay", tmp_path / "run" / "result.json"
    )
    assert "is a file; choose another name" in fails(capsys, *spam(toy_data, tmp_path / "run" / "result.json"))


def test_a_result_with_settings_of_another_version_is_read_and_not_replayed(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.json"
    write_outcome(path, Outcome("ladder-spam", "?", settings={"epochs": 2.0, "folds": 5}))
    assert read_outcome(path).settings["epochs"] == 2.0
    told = fails(capsys, "experiment", "ladder-spam", "--data", toy_data, "--replay", path, "--out", tmp_path / "again")
    assert "was written by another version, with other settings (settings.epochs is 2.0" in told
    assert "\n" not in told
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
@pytest.mark.long
def test_every_seed_draws_labels_anew_from_one_pretrained_model(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("experiment", "label-efficiency", "--small", "--data", toy_data, "--out", tmp_path / "run",
             "--vocabulary-size", "280", "--pretraining-steps", "2")  # fmt: skip
    code, _, err = run(capsys, *place)
    assert code == 0, err
    assert err.count("] pretrained\n") == 1
    outcome = read_outcome(tmp_path / "run" / "result.json")
    assert {len(value.seeds) for key, value in outcome.values.items() if key.startswith("lstm.")} == {0, 2}
    assert outcome.values["rules.f1.8"].seeds == ()  # equal at both
    assert outcome.values["rules.f1.8"] == outcome.values["rules.f1.16"]
    assert {"designed.f1_at_threshold.16", "batches.sorted.train_f1", "more-labels-help"} <= set(outcome.values)
    assert [len(each.lines) for each in outcome.curves] == [10, 10, 10]
    settings = next(table for table in outcome.tables if table.title.startswith("Settings that were tried"))
    tried = next(row for row in settings.rows if row[0] == "recurrent network (LSTM)")
    assert tried[1:3] == ["2", "learning rate 0.004, 0.008; epochs 6; fewest steps 10"]
    assert "--sizes 900: there are 71 labels in all" in fails(capsys, *place, "--force", "--sizes", "900")


def test_missing_data_and_wrong_names_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCRATCHLM_DATA", raising=False)
    told = fails(capsys, "experiment", "ladder-spam", "--out", tmp_path / "x")
    assert "--data or SCRATCHLM_DATA" in told
    assert "notes/data.md" in told
    assert "no such file; notes/data.md" in fails(
        capsys, "experiment", "ladder-spam", "--data", tmp_path, "--out", tmp_path / "x"
    )
    assert "did you mean 'ladder-spam'?" in fails(capsys, "experiment", "ladder-spm")
    assert "exclude each other" in fails(capsys, "experiment", "ladder-spam", "--full", "--small", code=2)
    assert not (tmp_path / "x").exists()


def test_a_run_that_would_repeat_its_text_is_refused(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("experiment", "scaling", "--data", toy_data, "--out", tmp_path / "x", "--vocabulary-size", "280")
    assert "no run may repeat its text; give fewer" in fails(capsys, *place, "--small")


def test_wrong_columns_and_classes_are_reported(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("words,kind\nhello you,a\nbye now,b\n", encoding="utf-8")
    place = ("experiment", "ladder-spam", "--data", toy_data, "--out", tmp_path / "x", "--texts", table)
    assert "which column is which? Columns: words, kind" in fails(capsys, *place)
    assert "--label-column" in fails(capsys, *place, "--text-column", "words", "--label-column", "sort")
    assert "has texts of" in fails(capsys, *place, "--text-column", "words", "--label-column", "kind")
    table.write_text("words,kind\n" + "".join(f"w {n},{n % 3}\n" for n in range(30)), encoding="utf-8")
    assert "has 3 classes; this experiment needs two" in fails(
        capsys, *place, "--text-column", "words", "--label-column", "kind"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no tab here", "is no fold; a line has a number, a tab"),
        ("5\t0123456789", "fold 5: must be from 0 to 4"),
        ("0\t01234567", "'01234567' is no hash of a text: the first 10 hex digits of its SHA-256"),
        ("0\t0123456789\n1\t0123456789", "is in fold 0 too; a text has one fold"),
    ],
)
def test_a_broken_fold_file_is_reported_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "folds.tsv"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        read_folds(path)


def test_a_fold_file_that_lists_none_of_the_texts_is_refused(toy_data: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.tsv").write_text("0\t0123456789", encoding="utf-8")
    with pytest.raises(UserError, match="lists none of the texts of"):
        read_folded(toy_data / "classify" / "sms-spam.tsv", "2", "1", tmp_path / "folds.tsv")


def test_a_list_on_the_command_line_replaces_that_of_the_recipe() -> None:
    def sizes(*arguments: str) -> tuple[int, ...]:
        return experiment_command("label-efficiency").from_arguments(arguments).sizes

    assert sizes() == (8, 32, 128, 512)
    assert sizes("--sizes", "16") == (16,)
    assert sizes("--sizes", "4", "--sizes", "64") == (4, 64)


def test_the_fold_of_a_text_does_not_depend_on_its_position(toy_data: Path, tmp_path: Path) -> None:
    path = toy_data / "classify" / "sms-spam.tsv"
    one = read_folded(path, "2", "1", None)
    lines = path.read_text(encoding="utf-8").splitlines()
    other = tmp_path / "turned.tsv"
    other.write_text("\n".join([*reversed(lines), lines[0].upper()]) + "\n", encoding="utf-8")
    two = read_folded(other, "2", "1", None)
    folds = [{text_hash(text): fold for text, fold in zip(each.texts, each.folds, strict=True)} for each in (one, two)]
    assert folds[0] == folds[1]
    assert len(one.texts) == len(two.texts) == 90
    assert text_hash(" Hello ") == text_hash("hello")
    assert one.labels == ("ham", "spam")


def test_a_threshold_is_never_chosen_on_the_texts_it_is_used_on() -> None:
    folds = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    truth = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    probabilities = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    # Fold 0 uses fold 1's best threshold, 0.75, and finds nothing; fold 1 uses fold 0's, 0.25, and finds all.
    assert at_threshold(probabilities, truth, folds).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert at_threshold(probabilities[:4], truth[:4], folds[:4]).tolist() == [0, 0, 0, 0]


def outcome_of(**values: float) -> Outcome:
    made = Outcome("toy", "What?", machine={"processor": "this"})
    made.values = {name: Value(value, value - 0.1, value + 0.1) for name, value in values.items()}
    made.claims = {"grows": Claim("it grows", True)}
    return made


def test_a_result_changed_by_hand_or_of_another_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.json"
    write_outcome(path, outcome_of(a=0.5))
    assert read_outcome(path).values == outcome_of(a=0.5).values
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "seconds": 1.0}))
    assert "was changed after it was written" in fails(capsys, "experiment", "ablations", "--replay", path)
    path.write_text(json.dumps({**body, "format": 0}))
    with pytest.raises(UserError, match="written in format 0, this version reads 1"):
        read_outcome(path)


def test_a_replay_that_finds_something_else_says_what() -> None:
    told = replayed(outcome_of(a=0.5), outcome_of(a=0.5))
    assert "1 values and 1 claims are reproduced on an equal machine" in told
    with pytest.raises(UserError, match=r"a: 0\.5 in the stored result, 0\.51 now"):
        replayed(outcome_of(a=0.5), outcome_of(a=0.51))
    other = outcome_of(a=0.5)
    other.claims["grows"] = Claim("it grows", False, timed=True)
    assert "reproduced" in replayed(outcome_of(a=0.5), other)  # another program may have changed the clock readings
    other.claims["grows"] = Claim("it grows", False)
    with pytest.raises(UserError, match="grows: was holds, is now does not hold"):
        replayed(outcome_of(a=0.5), other)


def test_on_another_machine_nine_of_ten_values_must_lie_within_their_intervals() -> None:
    keys = [f"v{number}" for number in range(20)]
    stored, again = outcome_of(**dict.fromkeys(keys, 0.5)), outcome_of(**dict.fromkeys(keys, 0.51))
    again.machine = {"processor": "that"}
    assert "20 of 20 values lie within the stored intervals on another machine" in replayed(stored, again)
    again.values |= {"v0": Value(0.7), "v1": Value(0.7)}
    again.claims["grows"] = Claim("it grows", None)
    told = replayed(stored, again)
    assert "18 of 20 values" in told
    assert "grows: was holds, is now could not be shown" in told
    again.values["v2"] = Value(0.7)
    with pytest.raises(UserError, match=r"3 of 20 values lie outside .*; v0: 0\.5 in the stored result, 0\.7 now"):
        replayed(stored, again)
    bare, near, far = (outcome_of() for _ in range(3))
    for made, value in ((bare, 0.5), (near, 0.52), (far, 0.6)):
        made.values = {"a": Value(value), "a.p": Value(value**9)}
    near.machine = far.machine = {"processor": "that"}
    assert "1 of 1 values" in replayed(bare, near)
    with pytest.raises(UserError, match=r"a: 0\.5 in the stored result, 0\.6 now"):
        replayed(bare, far)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("form", ["small", "default", "full"])
def test_every_experiment_has_a_recipe_in_each_form(name: str, form: str) -> None:
    config = recipe(name, form)
    assert (config.small, config.full) == (form == "small", form == "full")


def test_documents_of_a_text_begin_and_end_with_the_token_between_them() -> None:
    text = BookText(None, 9, np.array([]), np.array([]), 1)  # type: ignore[arg-type]
    cut = [row.tolist() for row in text.documents(np.array([1, 2, 9, 3, 9, 9, 4]))]
    assert cut == [[9, 1, 2, 9], [9, 3, 9], [9, 9], [9, 4]]
    assert sum(len(row) - 1 for row in cut) == 7  # every token is predicted once


def test_the_loss_of_an_ngram_model_is_that_of_its_documents() -> None:
    text = BookText(None, 3, np.array([]), np.array([0, 1, 3, 2, 1, 3]), 10)  # type: ignore[arg-type]
    model = KneserNey.fit(text.documents(np.array([0, 1, 1, 3, 2, 0, 1, 3])), 4, 2)
    nats = Counted(model, text).nats()
    expected = [-model.token_log_probabilities([3, 0, 1, 3])[1:], -model.token_log_probabilities([3, 2, 1, 3])[1:]]
    np.testing.assert_allclose(nats, np.concatenate(expected))


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match="--epochs 0: must be over 0; --folds 6: must be at most 5"):
        LadderSpamConfig(folds=6, epochs=(0,))
    with pytest.raises(UserError, match="--pairs 0: must be at least 2"):
        LadderLmConfig(pairs=0)
    with pytest.raises(UserError, match=r"--depths 60.*: must be at most 48; --sample-tokens 0: must be at least 1"):
        LadderLmConfig(depths=(4, 60), sample_tokens=0)
    with pytest.raises(UserError, match="--depths, --recurrent-widths: 1 and 2 values; give as many of one"):
        LadderLmConfig(depths=(4,))
    with pytest.raises(UserError, match="--recurrent-widths 8, 8: give each once"):
        LadderLmConfig(recurrent_widths=(8, 8))


def test_pairs_that_share_a_sentence_are_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    lines = ["1\t2"] + [f"word {n // 2}.\tWort {n}" for n in range(40)] + ["other.\twort 7!", "alone.\tAllein."]
    path.write_text("\n".join(lines), encoding="utf-8")
    pairs = read_pairs(path, 1000, 6)
    assert len(pairs.train) + sum(len(refs) for _, refs in pairs.tested) == 42
    assert len(pairs.tested) >= 6
    learned = {source for source, _ in pairs.train} | {target.lower().strip("!.") for _, target in pairs.train}
    for source, references in pairs.tested:
        assert not learned & {source, *(reference.lower().strip("!.") for reference in references)}
    both = dict(pairs.tested)
    assert ("other." in both) == ("word 3." in both)  # "wort 7!" and "Wort 7" are one sentence
    assert len(read_pairs(path, 5, 6).train) == 5
    most = read_pairs(path, 1000, 20)
    clusters = dict(zip([source for source, _ in most.tested], most.clusters, strict=True))
    assert clusters.pop("other.") == clusters["word 3."]
    assert len(set(clusters.values())) == len(clusters)
    with pytest.raises(UserError, match=r"--tested 100: .* has 42 pairs, and the test set would take all of them"):
        read_pairs(path, 1000, 100)
    path.write_text("\n".join(f"{line}\tby somebody" for line in lines), encoding="utf-8")
    assert read_pairs(path, 1000, 6) == pairs  # the attribution is ignored
    path.write_text("one\ttwo\nthree\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: has 1 columns; a pair has two"):
        read_pairs(path, 10, 1)


@pytest.mark.slow
def test_translators_are_compared(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"i": "ich", "you": "du", "see": "sehe", "a dog": "einen Hund", "a cat": "eine Katze", "now": "jetzt"}
    sentences = [
        f"{s} see {o} {number}." for number in range(10) for s in ("I", "you") for o in ("a dog", "a cat", "now")
    ]
    german = []
    for sentence in sentences:
        text = sentence.lower()
        for english, word in words.items():
            text = text.replace(english, word)
        german.append(text)
    (tmp_path / "translate").mkdir()
    table = "\n".join(f"{a}\t{b}" for a, b in zip(sentences, german, strict=True))
    (tmp_path / "translate" / "eng-deu.tsv").write_text(table, encoding="utf-8")
    command = (
        "experiment", "ladder-translate", "--data", tmp_path, "--tested", "10", "--width", "32", "--epochs", "1",
        "--vocabulary-size", "270", "--init", finished / "pretrained",
    )  # fmt: skip
    code, out, err = run(capsys, *command, "--out", tmp_path / "run")
    assert code == 0, err
    assert "word for word, IBM model 1" in out
    outcome = read_outcome(tmp_path / "run" / "result.json")
    assert outcome.values["ibm1.chrf"].value > outcome.values["copy.chrf"].value
    assert outcome.values["prompted.chrf"].value < outcome.values["ibm1.chrf"].value  # it was trained on English only
    assert "taught-beats-prompted" in outcome.claims
    assert {"phrases", "phrases.beam1", "transformer.beam", "longer.beam"} <= {
        key.removesuffix(".chrf") for key in outcome.values
    }
    steps = tmp_path / "run" / "steps"
    assert len(outcome.tables) == 5
    before = {path.name for path in steps.iterdir()}
    code, _, err = run(capsys, *command, "--out", tmp_path / "two", "--seeds", "2")
    assert code == 0, err
    # What no seed changes is done once; the second seed has the steps of the networks alone.
    assert {path.name for path in (tmp_path / "two" / "steps").iterdir()} == before
    second = {path.stem for path in (tmp_path / "two" / "seed-1" / "steps").iterdir()}
    assert second == {"recurrent", "attention", "transformer", "decoder", "longer"}
    both = read_outcome(tmp_path / "two" / "result.json").values
    assert any(len(value.seeds) == 2 for value in both.values())
    assert both["ibm1.chrf"] == outcome.values["ibm1.chrf"]


@pytest.mark.slow
@pytest.mark.long
def test_a_run_with_more_seeds_goes_on_from_one_with_fewer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (
        "--pretraining-steps",
        "2",
        "--vocabulary-size",
        "300",
        "--epochs",
        "0.01",
        "--tested",
        "10",
    )
    place = ("experiment", "ladder-respond", "--out", tmp_path / "run", *flags)
    code, _, err = run(capsys, *place)
    assert code == 0, err
    one = read_outcome(tmp_path / "run" / "result.json")
    steps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()}
    code, out, err = run(capsys, *place, "--seeds", "2")
    assert code == 0, err
    assert f"{len(steps)} steps were taken from an earlier call" in out
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run" / "steps").iterdir()} == steps
    two = read_outcome(tmp_path / "run" / "result.json")
    assert two.values["retrieval.right"].seeds[0] == one.values["retrieval.right"].value
    assert len(two.values["retrieval.right"].seeds) == 2
    assert two.notes[0].startswith("2 seeds")
    code, out, err = run(capsys, *place[:2], "--replay", tmp_path / "run" / "result.json", "--out", tmp_path / "again")
    assert code == 0, err
    assert f"{len(two.values)} values and {len(two.claims)} claims are reproduced" in " ".join(out.split())
