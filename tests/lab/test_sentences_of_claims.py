"""Each claim of an experiment has its sentence, test and control in the experiment's own claims.toml."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import scratchlm
from scratchlm.lab.catalogue import EXPERIMENTS, sentences

FOLDER = Path(scratchlm.__file__).parent / "lab" / "experiments"
BRACED = re.compile(r"\{(\w+)[^}]*\}")


def pattern(node: ast.expr) -> str:
    """Return a regular expression of the texts that an expression may be."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(str(each.value)) if isinstance(each, ast.Constant) else ".+" for each in node.values)
    return ".+"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_claims_and_their_sentences_belong_together(name: str) -> None:
    says, code = sentences(name), ""
    calls: list[ast.Call] = []
    for path in sorted((FOLDER / EXPERIMENTS[name].module).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        code += text
        every = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        calls += [each for each in every if isinstance(each.func, ast.Attribute) and each.func.attr == "claim"]
    literal = {each.args[0].value for each in calls if isinstance(each.args[0], ast.Constant)}
    entries = [word.value for each in calls for word in each.keywords if word.arg == "entry"]
    named = {*literal, *(each.value for each in entries if isinstance(each, ast.Constant))}
    assert calls or "claim_gains(" in code
    assert named <= set(says)
    for key, sentence in says.items():
        made = [pattern(each.args[0]) for each in calls if not isinstance(each.args[0], ast.Constant)]
        assert key in named or f'"{key}"' in code or any(re.fullmatch(each, key) for each in made), key
        assert sentence.control, key
        for word in BRACED.findall(sentence.says + sentence.test + sentence.control):
            assert re.search(rf"\b{word}=", code), (key, word)
    for call in calls:  # those with a key of their own have one test: in code, or in the file
        if isinstance(call.args[0], ast.Constant):
            assert (len(call.args) == 2) != bool(says[call.args[0].value].test), call.args[0].value
