"""`scratchlm finetune instruct`: layouts of conversations, what is learned of them, and what comes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from commands import fails, run
from scratchlm.base.errors import UserError
from scratchlm.data.batches import IGNORED, masked_batch
from scratchlm.finetuning.conversations import read_conversations
from scratchlm.model.decoder import build_decoder
from scratchlm.model.presets import tiny
from scratchlm.text.records import TableRow
from scratchlm.tokens.bpe import ReadableBPE
from scratchlm.tokens.chat import PLAIN, ChatTemplate
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.patterns import QWEN2
from scratchlm.tokens.vocabulary import BytePairVocabulary
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, save_model

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
SAME = {
    "messages": {"messages": TALK},
    "ShareGPT": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]},
    "instruction, input and output": {"instruction": "Hi", "input": "", "output": "Yes"},
    "prompt and completion": {"prompt": "Hi", "completion": "Yes"},
    "question and answer": {"question": "Hi", "answer": "Yes"},
    "Message and Reply": {"Message": "Hi", "Reply": "Yes", "Category": "greeting", "id": 3},
    "input and output": {"input": "Hi", "output": "Yes"},
}


@pytest.mark.parametrize("name", SAME)
def test_every_layout_gives_the_same_conversation(name: str) -> None:
    found, layout = read_conversations([TableRow("row 1", SAME[name])])
    assert (found, layout.name) == ([TALK], name)


def test_alpacas_input_follows_its_instruction() -> None:
    row = {"instruction": "Add", "input": "1 and 2", "output": "3"}
    assert read_conversations([TableRow("row 1", row)])[0][0][0]["content"] == "Add\n\n1 and 2"


BAD = {
    "no assistant": ([{"role": "user", "content": "Hi"}], "has no assistant's turn"),
    "out of order": ([TALK[1], TALK[0], *TALK], "roles are out of order"),
    "no last answer": ([*TALK, TALK[0]], "ends with a turn of user"),
    "twice": ([TALK[0], TALK[0], TALK[1]], "roles are out of order"),
    "empty": ([TALK[0], {"role": "assistant", "content": " "}], r"message 2 \(assistant\) is empty"),
    "unknown": ([{"role": "judge", "content": "x"}, TALK[1]], "message 1 has role 'judge'"),
    "torn": ([{"role": "user"}], "is not in the layout messages"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_conversation_is_named_with_its_row(name: str) -> None:
    messages, expected = BAD[name]
    records = [TableRow("row 1", {"messages": TALK}), TableRow("row 2", {"messages": messages})]
    with pytest.raises(UserError, match=f"row 2: {expected}"):
        read_conversations(records)


def test_a_hand_computed_mask() -> None:
    tokenizer = FastBPE.train([], 256)
    template = ChatTemplate(tokenizer)
    batch = masked_batch([template.render(TALK)], 100, 0)
    learned = [int(token) for token in batch.targets[0] if token != IGNORED]
    assert learned == [*tokenizer.encode("Yes"), tokenizer.specials["<|im_end|>"]]
    first = int((batch.targets[0] != IGNORED).int().argmax())
    assert tokenizer.decode([int(batch.ids[0, first])]) == "\n"  # the end of the header, from which "Y" is predicted


def test_a_tokenizer_without_tokens_of_turns_ends_answers_with_the_end_of_the_text() -> None:
    bytes_ = {bytes([value]): value for value in range(256)}
    tokenizer = ReadableBPE(BytePairVocabulary(bytes_, QWEN2, {"<|endoftext|>": 256}))
    template = ChatTemplate.suited_to(tokenizer)
    assert template.source == PLAIN
    rendered = template.render([*TALK, *TALK])
    text = "User:\nHi\nAssistant:\nYes<|endoftext|>\n" * 2
    assert rendered.ids == [id for part in text.split("<|endoftext|>") for id in [*part.encode(), 256]][:-1]
    assert [id for id, wanted in zip(rendered.ids, rendered.mask, strict=True) if wanted] == [*b"Yes", 256] * 2
    assert template.render(TALK[:1], reply=True).ids == list(b"User:\nHi\nAssistant:\n")
    with pytest.raises(UserError, match="no token that could end an answer"):
        ChatTemplate.suited_to(ReadableBPE(BytePairVocabulary(bytes_, QWEN2, {})))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instruct")
    rows = [{"prompt": f"Say number {n}.", "completion": f"The number is {n}."} for n in range(90)]
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenizer = FastBPE.train([text for row in rows for text in row.values()], 265)
    save_model(folder / "base", SavedModel(build_decoder(tiny(tokenizer.vocabulary_size), 0), tokenizer))
    return folder


FLAGS = (
    "--training.sequence-length",
    "64",
    "--reply-tokens",
    "20",
    "--scored",
    "5",
    "--dtype",
    "fp32",
    "--threads",
    "1",
)


@pytest.mark.parametrize("lora", [False, True])
def test_it_teaches_to_answer_and_to_stop(lora: bool, folder: Path, tmp_path: Path, capsys) -> None:
    flags = (*FLAGS, "--epochs", "20" if not lora else "2", "--training.optimizer.learning-rate", "0.003")
    where = ("--init", folder / "base", "--data", folder / "talk.jsonl", "--out", tmp_path / "run")
    code, out, err = run(capsys, "finetune", "instruct", *where, *flags, *(["--lora"] if lora else []))
    assert code == 0, err
    assert "kept: step" in out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["loss"] < result["loss_before"]
    assert result["layout"] == "prompt and completion"
    assert "Before and after" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    model = load_model(find_model(tmp_path / "run"))
    assert model.template is not None
    assert (model.base is not None) == lora
    if not lora:
        assert result["after"]["stopped"] == 1.0
        assert result["after"]["chrf"] > 60 > result["before"]["chrf"]
        assert "number" in run(capsys, "chat", tmp_path / "run", "--message", "Say number 7.", "--temperature", "0")[1]


def test_a_preview_shows_what_is_learned_and_trains_nothing(
    folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--init", folder / "base", "--data", folder / "talk.jsonl", "--out", tmp_path / "run")
    code, out, _ = run(capsys, "finetune", "instruct", *where, "--preview", "2")
    assert code == 0
    assert "<|im_end|>" in out
    assert "are learned" in out
    assert not (tmp_path / "run").exists()
    legend, *learned = re.findall(r"\[\[(.*?)\]\]", out, re.DOTALL)
    assert legend == "learned tokens"
    assert len(learned) == 2
    assert all(each.endswith("<|im_end|>|") and "<|im_start|>" not in each for each in learned)
    counts = [int(count) for count in re.findall(r"of which (\d+) are learned", out)]
    assert [each.count("|") - 2 for each in learned] == counts, "a bar after each token, and two in <|im_end|>"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = run(capsys, "finetune", "instruct", *where, "--preview", "2")[1]
    assert "\x1b[1;32m" in coloured
    assert "[[" not in coloured


def test_rows_too_short_for_any_answer_are_refused(folder: Path, tmp_path: Path, capsys) -> None:
    where = ("--init", folder / "base", "--data", folder / "talk.jsonl", "--out", tmp_path / "run")
    line = fails(capsys, "finetune", "instruct", *where, "--training.sequence-length", "5")
    assert "within 5 tokens" in line
    short = ("--training.sequence-length", "64")
    assert "which column is which? Columns: a; name" in fails(
        capsys, "finetune", "instruct", *where[:2], "--data", _written(tmp_path, {"a": 1}), *where[4:], *short
    )
    assert "--data: is missing" in fails(capsys, "finetune", "instruct", *where[:2], "--preview", "1", code=2)


@pytest.mark.parametrize("name", BAD)
def test_the_command_names_the_row_of_what_is_no_conversation(name: str, folder: Path, tmp_path: Path, capsys) -> None:
    messages, expected = BAD[name]
    rows = [{"messages": TALK}, {"messages": messages}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = ("--init", folder / "base", "--data", tmp_path / "rows.jsonl", "--out", tmp_path / "run")
    line = fails(capsys, "finetune", "instruct", *where)
    assert "rows.jsonl, line 2: " in line
    assert re.search(expected, line)
    assert not (tmp_path / "run" / "model").exists()


TEMPLATES = {
    "refuses": ("{% if messages | length > 1 %}{{ raise_exception('one message at a time') }}{% endif %}",
                "conversation 1: chat template: one message at a time"),
    "breaks": ("{{ 1 / 0 }}", "conversation 1: chat template: division by zero"),
    "is none": ("{% for %}", "conversation 1: chat template: "),
    "leaves the answers out": ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
                               "none has an assistant's reply"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_fails_or_masks_all_is_told(name: str, folder: Path, tmp_path: Path, capsys) -> None:
    source, expected = TEMPLATES[name]
    model = load_model(folder / "base")
    model.template = ChatTemplate(model.tokenizer, source)
    save_model(tmp_path / "base", model)
    where = ("--init", tmp_path / "base", "--data", folder / "talk.jsonl", "--out", tmp_path / "run")
    assert expected in fails(capsys, "finetune", "instruct", *where)


def _written(folder: Path, row: dict[str, object]) -> Path:
    (folder / "rows.jsonl").write_text(json.dumps(row))
    return folder / "rows.jsonl"
