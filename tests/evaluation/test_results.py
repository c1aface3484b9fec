"""`scratchlm evaluate --task`, --compare, --replay, --judge: the real command, with wrong input too."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import fails, run
from endpoints import Server, serving
from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError
from scratchlm.base.sealed import sealed
from scratchlm.base.statistics import compare_statistics, comparison_of, standard_error
from scratchlm.evaluation.judge import judge_pairs
from scratchlm.evaluation.results import FORMAT, KIND, read_result
from scratchlm.finetuning.head import add_classes
from scratchlm.tokens.base import Ends
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.weights.checkpoint import Classes, SavedModel, load_model, save_model
from toys import BYTE_VOCABULARY, byte_tokenizer, random_decoder, toy_config

ROWS = [{"query": f"{n} and {n} is", "choices": [str(2 * n), "many", "none"], "gold": n % 3} for n in range(12)]


def folder(path: Path, seed: int) -> Path:
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=300)
    save_model(path, SavedModel(random_decoder(config, seed), byte_tokenizer()))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluation")
    folder(place / "one", 0)
    folder(place / "two", 5)
    (place / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    answers = [{"question": f"What is {n}?", "answer": "a number"} for n in range(3)]
    (place / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    return place


def measure(place: Path, capsys: pytest.CaptureFixture[str], model: str, out: str, *more: str) -> dict[str, Any]:
    flags = ["--task", f"choices={place / 'c.jsonl'}", "--task", f"answers={place / 'a.jsonl'}", "--answer-tokens", "8"]
    code, _, err = run(capsys, "evaluate", place / model, *flags, "--out", place / out, "--threads", "1", *more)
    assert code == 0, err
    return json.loads((place / out).read_text())


def test_a_result_replays_exactly_and_compares(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = measure(place, capsys, "one", "one.json", "--shuffled", "--normalisation", "unconditional")
    assert [task["items"] for task in first["tasks"]] == [12, 3]
    assert set(first["tasks"][0]["scores"]) == {"accuracy (unconditional)"} == set(first["tasks"][0]["shuffled"])
    code, out, _ = run(capsys, "evaluate", "--replay", place / "one.json", "--json")
    assert code == 0
    assert json.loads(out)["items"] == 15
    assert json.loads(out)["largest_gap"] < 1e-5
    measure(place, capsys, "two", "two.json", "--normalisation", "unconditional")
    code, out, _ = run(capsys, "evaluate", "--compare", place / "one.json", place / "two.json", "--json")
    assert code == 0
    compared = json.loads(out)["compared"]
    assert [each["score"] for each in compared] == ["accuracy (unconditional)", "exact", "same words"]
    assert compared[0]["items"] == 12
    code, out, _ = run(capsys, "evaluate", "--compare", place / "one.json", place / "two.json")
    assert "minimum detectable difference" in out


def test_the_table_shows_guessing_and_the_shuffled_baseline(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "evaluate", place / "one", "--task", f"choices={place / 'c.jsonl'}", "--threads", "1")
    assert code == 0
    assert "accuracy (raw)" in out
    assert "33.3" in out  # guessing
    trained = place / "seen.txt"
    trained.write_text("\n".join(f"{row['query']} {row['choices'][row['gold']]}" for row in ROWS[:1]))
    flags = ("--trained-on", trained, "--threads", "1", "--json")
    code, out, _ = run(capsys, "evaluate", place / "one", "--task", f"choices={place / 'c.jsonl'}", *flags)
    assert json.loads(out)["tasks"][0]["contaminated"] == pytest.approx(1 / 12)


def test_the_convention_of_pairs_is_in_the_result_the_table_and_the_help(
    place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.jsonl").write_text('{"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps."}\n')
    flags = ("--task", f"blimp={tmp_path / 'p.jsonl'}", "--out", tmp_path / "r.json", "--threads", "1")
    code, out, err = run(capsys, "evaluate", place / "one", *flags)
    assert code == 0, err
    convention = "after <|endoftext|> and a leading space"
    assert convention in " ".join(out.split())
    stored = json.loads((tmp_path / "r.json").read_text())
    assert convention in stored["tasks"][0]["convention"]
    assert stored["tasks"][0]["start"] == "<|endoftext|>"
    help = " ".join(run(capsys, "evaluate", "--help")[1].replace("│", " ").split())
    assert "after a start token and a leading space" in help
    body = {key: value for key, value in stored.items() if key not in ("format", "kind", "seal")}
    del body["tasks"][0]["convention"]  # a file of an older version
    (tmp_path / "old.json").write_text(json.dumps(sealed(KIND, FORMAT, body)))
    assert read_result(tmp_path / "old.json").tasks[0].convention == ""


def test_a_result_replays_with_its_start_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vocabulary = replace(byte_tokenizer().vocabulary, ends=Ends("<|im_start|>", add_bos=False))
    config = toy_config("default", vocabulary_size=BYTE_VOCABULARY, context=300)
    save_model(tmp_path / "model", SavedModel(random_decoder(config), ReadableBPE(vocabulary)))
    rows = [{"sentence_good": f"a {n} b", "sentence_bad": f"b {n} a"} for n in range(20)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ("--task", f"pairs={tmp_path / 'p.jsonl'}", "--out", tmp_path / "new.json", "--threads", "1")
    assert run(capsys, "evaluate", tmp_path / "model", *flags)[0] == 0
    new = read_result(tmp_path / "new.json")
    assert new.tasks[0].start == "<|im_start|>"
    assert run(capsys, "evaluate", "--replay", tmp_path / "new.json")[0] == 0


def test_each_wrong_input_is_one_line(place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    measure(place, capsys, "one", "kept.json")
    body = json.loads((place / "kept.json").read_text())

    def changed(name: str, change: Callable[[dict[str, Any]], object]) -> Path:
        copy = json.loads(json.dumps(body))
        change(copy)
        (tmp_path / name).write_text(json.dumps(copy))
        return tmp_path / name

    better = changed("a.json", lambda copy: copy["tasks"][0]["scores"]["accuracy (raw)"].update(value=1.0))
    assert "was changed after it was written" in fails(capsys, "evaluate", "--replay", better)
    newer = changed("b.json", lambda copy: copy.update(format=2))
    assert "written in format 2, this version reads 1" in fails(capsys, "evaluate", "--replay", newer)
    other = changed("c.json", lambda copy: copy.update(kind="x"))
    assert "no result of scratchlm evaluate" in fails(capsys, "evaluate", "--compare", other, place / "kept.json")
    (tmp_path / "d.json").write_text("{")
    assert "no result of scratchlm evaluate" in fails(capsys, "evaluate", "--replay", tmp_path / "d.json")
    assert "no such file" in fails(capsys, "evaluate", "--replay", tmp_path / "e.json")
    measure(place, capsys, "two", "few.json", "--limit", "2")
    assert "the items of choices differ" in fails(
        capsys, "evaluate", "--compare", place / "kept.json", place / "few.json"
    )
    line = fails(capsys, "evaluate", place / "one", "--task", f"choices={place / 'a.jsonl'}", "--rows", "0", code=2)
    assert "--rows 0: must be at least 1" in line
    line = fails(capsys, "evaluate", place / "one", "--task", f"choices={place / 'a.jsonl'}")
    assert "a.jsonl, line 1: no item of choices" in line
    assert "give one thing to measure on" in fails(capsys, "evaluate", place / "one", code=2)
    assert "name the model" in fails(capsys, "evaluate", "--task", "storyworld", code=2)
    assert "did you mean 'raw'" in fails(
        capsys, "evaluate", place / "one", "--task", "storyworld", "--normalisation", "rw", code=2
    )
    assert "name them with --compare" in fails(
        capsys, "evaluate", place / "one", "--task", "storyworld", "--judge", "http://x", code=2
    )
    lines = (place / "c.jsonl").read_text()
    try:
        (place / "c.jsonl").write_text(lines.replace("many", "more"))
        assert "other items than were measured" in fails(capsys, "evaluate", "--replay", place / "kept.json")
    finally:
        (place / "c.jsonl").write_text(lines)


def test_a_classifier_is_scored_on_its_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = SavedModel(random_decoder(toy_config("default", vocabulary_size=BYTE_VOCABULARY)), byte_tokenizer())
    add_classes(model.decoder, ("ham", "spam"), "last", seed=0)
    model.classes = Classes(("ham", "spam"), positive="spam")
    save_model(tmp_path / "model", model)
    table = tmp_path / "t.tsv"
    table.write_text("label\ttext\n" + "".join(f"{'ham' if n % 2 else 'spam'}\tt{n}\n" for n in range(8)))
    flags = ("--task", f"classes={table}", "--threads", "1", "--json")
    code, out, err = run(capsys, "evaluate", tmp_path / "model", *flags)
    assert code == 0, err
    task = json.loads(out)["tasks"][0]
    assert set(task["scores"]) == {"accuracy", "F1"}
    right = [r["values"]["accuracy"] for r in task["records"]]
    assert task["scores"]["accuracy"]["value"] == pytest.approx(sum(right) / 8)
    table.write_text("label\ttext\nother\tt\n")
    assert "are no classes of this model" in fails(capsys, "evaluate", tmp_path / "model", *flags)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_a_judge_is_asked_in_both_orders_and_position_bias_gives_ties(server: Server) -> None:
    judge = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
    pairs = [("q", "good", "bad"), ("q", "bad", "good"), ("q", "same", "same")]
    server.answer = lambda text: "A" if "Answer A:\ngood" in text else "B"
    server.broken = 1  # another attempt is made
    found = judge_pairs(judge, pairs)
    assert (found.first, found.second, found.ties, found.swayed) == (1, 1, 1, 0)
    assert server.asked == 5  # two pairs both ways, and one attempt that failed
    server.answer = lambda text: "A"
    found = judge_pairs(judge, pairs)
    assert (found.first, found.second, found.ties, found.swayed) == (0, 0, 3, 2)
    server.answer = lambda text: "the first"
    found = judge_pairs(judge, pairs)
    assert (found.ties, found.unread) == (3, 2)
    server.answer = lambda text: "**B**" if "Answer A:\ngood" in text else "a."
    found = judge_pairs(judge, pairs)
    assert (found.first, found.second, found.unread) == (1, 1, 0)


def test_without_the_client_an_endpoint_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UserError, match=r"scratchlm\[endpoint\]"):
        Endpoint("http://127.0.0.1:1/v1").ask([])


def test_written_answers_of_two_results_are_judged(
    place: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("one", "two"):
        measure(place, capsys, model, f"judged-{model}.json")
    server.answer = lambda text: "T"
    address = f"http://127.0.0.1:{server.server_port}/v1"
    results = (place / "judged-one.json", place / "judged-two.json")
    code, out, err = run(capsys, "evaluate", "--compare", *results, "--judge", address)
    assert code == 0, err
    assert "judged: nothing was decided; 3 ties" in out
    assert "check the address" in fails(capsys, "evaluate", "--compare", *results, "--judge", "nowhere")


def test_differences_of_pairs_have_hand_computed_errors() -> None:
    error = standard_error([1, 0, 0, 0])
    assert error == pytest.approx((0.75**2 + 3 * 0.25**2) ** 0.5 * (4 / 3) ** 0.5 / 4)
    found = comparison_of(0.25, error)
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    assert found.interval == pytest.approx((0.25 - 1.959964 * error, 0.25 + 1.959964 * error), rel=1e-5)
    assert found.p_value == pytest.approx(0.317311, rel=1e-5)  # one standard error away
    assert comparison_of(0.0, 0.0).p_value == 1.0
    same = compare_statistics(1000, lambda rows: float((rows < 500).mean()) - 0.25)
    assert same.difference == 0.25
    assert same.interval.high - same.interval.low == pytest.approx(2 * 1.96 * (0.25 / 1000) ** 0.5, rel=0.1)
    with pytest.raises(UserError, match="each value belongs to one cluster"):
        standard_error([1, 2], ["a"])


def test_one_item_two_tasks_of_a_name_and_flags_without_an_effect(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({**ROWS[1], "query": name}) + "\n")
    flags = ("--task", f"choices={tmp_path / 'x.jsonl'}", "--task", f"choices={tmp_path / 'y.jsonl'}", "--threads", "1")
    code, _, err = run(capsys, "evaluate", place / "one", *flags, "--out", tmp_path / "deep" / "r.json")
    assert code == 0, err
    assert "Infinity" not in (tmp_path / "deep" / "r.json").read_text()
    both = (tmp_path / "deep" / "r.json",) * 2
    code, out, _ = run(capsys, "evaluate", "--compare", *both, "--json")
    assert code == 0
    assert [each["comparison"]["difference"] for each in json.loads(out)["compared"]] == [0.0] * 4
    assert run(capsys, "evaluate", "--compare", *both)[0] == 0
    assert "is a folder" in fails(capsys, "evaluate", place / "one", *flags, "--out", tmp_path)
    assert "x.jsonl" in fails(capsys, "evaluate", place / "one", *flags, "--out", tmp_path / "x.jsonl" / "r.json")
    line = fails(
        capsys, "evaluate", place / "one", "--text", tmp_path / "x.jsonl", "--out", "r", "--limit", "3", code=2
    )
    assert "--out, --limit: have no effect without --task" in line


def test_diverged_weights_are_reported(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model(place / "one")
    model.decoder.final_norm.weight.data.fill_(3e38)
    save_model(tmp_path / "large", model)
    line = fails(capsys, "evaluate", tmp_path / "large", "--task", f"choices={place / 'c.jsonl'}", "--threads", "1")
    assert "not finite" in line
