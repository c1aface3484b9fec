"""FAQs as conversations: what is a question, what its answer, and what is neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchlm.base.errors import UserError
from scratchlm.text.records import read_records

FAQ = """# Questions?

Welcome to our FAQ.

## Billing

### How do I pay? ###

By card, or by

- bank transfer
- cash

#### In detail

Visa only.

**Do you take cheques?**
No, sorry.

1. **Q: Is there a refund?**
   A: Yes, within 30 days.

Q: What about
the weekend?
A: We are closed.
```
**Is this code?**
```

---

## Shipping

Where do you ship to?
---------------------
Everywhere.

<details><summary>How long does it take?</summary>

Two days.

</details>
"""
EXPECTED = {
    "How do I pay?": "By card, or by\n\n- bank transfer\n- cash\n\n#### In detail\n\nVisa only.",
    "Do you take cheques?": "No, sorry.",
    "Is there a refund?": "Yes, within 30 days.",
    "What about the weekend?": "We are closed.\n```\n**Is this code?**\n```",
    "Where do you ship to?": "Everywhere.",
    "How long does it take?": "Two days.",
}


def read(folder: Path, text: str, name: str = "faq.md") -> dict[str, str]:
    (folder / name).write_text(text, encoding="utf-8")
    return {each.values["question"]: each.values["answer"] for each in read_records(folder / name)}


def test_headings_bold_lines_and_lines_with_q_are_questions(tmp_path: Path) -> None:
    assert read(tmp_path, FAQ) == EXPECTED


def test_line_ends_of_windows_and_marks_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "faq.md").write_bytes(b"\xef\xbb\xbf" + FAQ.replace("\n", "\r\n").encode())
    assert {each.values["question"]: each.values["answer"] for each in read_records(tmp_path / "faq.md")} == EXPECTED


def test_plain_text_with_q_and_a_is_read_too(tmp_path: Path) -> None:
    text = "Intro.\n\nQ: Why?\nA: Because.\n\nIt is so.\nQ: Open?\nYes, it is.\n"
    assert read(tmp_path, text, "faq.txt") == {"Why?": "Because.\n\nIt is so.", "Open?": "Yes, it is."}


BAD = {
    "no question": ("# Title\n\nSome text.\n", "is no table, and holds no question with an answer below it"),
    "no answer": ("## Why?\n\n## When?\nNow.\n", "line 1: the question has no answer; write it below, or remove it"),
    "last one": ("## When?\nNow.\n## Why?\n", "line 3: the question has no answer"),
    "no question before A": ("Q:\nA: Yes.\n", "line 1: the answer has no question"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_faq_is_said_with_its_line(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    with pytest.raises(UserError, match=expected):
        read(tmp_path, text)
