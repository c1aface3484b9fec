"""The lm-evaluation-harness beside ours: with our model in it, and with transformers' on the exported one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import run
from scratchlm.evaluation.harness import adapter, write_tasks
from scratchlm.evaluation.prompting import Prompting, ask
from scratchlm.evaluation.tasks import read_task
from scratchlm.tokens.base import PAD, TURN_END, Ends, prefix_token
from scratchlm.tokens.fast import FastBPE
from scratchlm.tokens.vocabulary import TURN_START
from scratchlm.weights.checkpoint import SavedModel, save_model
from toys import random_decoder
from weights.families import FAMILIES

lm_eval = pytest.importorskip("lm_eval", reason='not installed; pip install "scratchlm[interop]"')
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def files(folder: Path) -> list[str]:
    rows = {
        "choices": [{"query": f"Q: {n}?\nA:", "choices": [str(n), "more", "é"], "gold": n % 3} for n in range(30)],
        "pairs": [{"sentence_good": f"a {n} b", "sentence_bad": f"b {n} a"} for n in range(30)],
        "last-word": [{"text": f"one {n} word and then {n % 7}"} for n in range(30)],
    }
    specs = []
    for name, each in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
        specs.append(f"{name}={folder / name}.jsonl")
    return specs


ENDS = {
    "no BOS token": Ends(),
    "a BOS token that no program inserts": Ends(TURN_START, add_bos=False, last=TURN_END),
    "no BOS token, an EOS token that ends a turn": Ends(None, last=TURN_END),
    "a BOS token that programs insert": Ends(PAD),
}


@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_all_three_give_the_same_scores_at_the_harness_s_defaults(
    ends: Ends, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tokenizer = FastBPE(replace(FastBPE.train([], 256).vocabulary, ends=ends))
    shape = replace(FAMILIES["llama tied"][1], vocabulary_size=tokenizer.vocabulary_size)
    model = SavedModel(random_decoder(shape), tokenizer)
    save_model(tmp_path / "model", model)
    assert run(capsys, "export", tmp_path / "model", "--to", "hf", "--out", tmp_path / "hf")[0] == 0
    tasks = [read_task(spec) for spec in files(tmp_path)]
    (tmp_path / "tasks").mkdir()
    names = write_tasks(tmp_path / "tasks", tasks)
    manager = TaskManager(include_path=str(tmp_path / "tasks"))
    asked: dict[str, Any] = {"tasks": names, "task_manager": manager, "bootstrap_iters": 0}
    inside = lm_eval.simple_evaluate(model=adapter(tmp_path / "model"), **asked)["results"]
    hf = HFLM(pretrained=str(tmp_path / "hf"), dtype="float32", device="cpu")
    assert hf.prefix_token_id == prefix_token(tokenizer)
    theirs = lm_eval.simple_evaluate(model=hf, **asked)["results"]
    text = [Instance("loglikelihood_rolling", {}, ("a text, longer than nothing",), 0)]
    if tokenizer.begin_of_text is None:  # else the harness puts it twice before a text
        assert adapter(model).loglikelihood_rolling(text) == pytest.approx(hf.loglikelihood_rolling(text), rel=1e-4)
    for task, name in zip(tasks, names, strict=True):
        scores = ask(model, task, Prompting()).scores
        ours = {
            "acc,none": scores.get("accuracy (raw)", scores.get("accuracy")),
            "acc_norm,none": scores.get("accuracy (characters)"),
            "perplexity,none": scores.get("perplexity"),
        }
        for metric, score in ours.items():
            for results in (inside, theirs):
                if score is not None and metric in results[name]:
                    assert results[name][metric] == pytest.approx(score.value, rel=1e-4), (name, metric)


def test_our_model_continues_texts_there_until_a_stop(tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    tokenizer = FastBPE.train([], 256)
    shape = replace(FAMILIES["llama tied"][1], vocabulary_size=tokenizer.vocabulary_size)
    held = adapter(SavedModel(random_decoder(shape), tokenizer))
    requests = [Instance("generate_until", {}, ("ab", {"until": [], "max_gen_toks": 9}), 0)]
    (whole,) = held.generate_until(requests)
    assert len(whole) > 1
    stopped = [Instance("generate_until", {}, ("ab", {"until": [whole[1]], "max_gen_toks": 9}), 0)]
    assert held.generate_until(stopped) == [whole[: whole.index(whole[1])]]
    (rolled,) = held.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, ("a text",), 0)])
    ((nats, _),) = held.loglikelihood([Instance("loglikelihood", {}, ("", "a text"), 0)])
    assert rolled == pytest.approx(nats, rel=1e-5)
