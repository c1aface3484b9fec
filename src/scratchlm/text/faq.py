"""Questions with their answers, out of texts that people write for people: FAQs.

A question is a heading, a bold line or the summary of a fold that ends with a question mark, and the text below it is
its answer; or a line that begins with `Q:`, before one that begins with `A:`. Headings deeper than that of a question
belong to its answer, and other headings end it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scratchlm.text.counts import Problems

HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
UNDERLINE = re.compile(r" {0,3}(=+|-{2,})\s*$")
BOLD = re.compile(r"(\*\*|__)(?=\S)(.+)\1$")
FENCE = re.compile(r"\s*(```|~~~)")
MARK = re.compile(r"\s*(?:>\s*)?(?:[-*+]\s+|\d+[.)]\s+)?")
ASKED = re.compile(r"(?:q|question)\s*\d*\s*[:：]\s*(.*)", re.IGNORECASE)
ANSWERED = re.compile(r"(?:a|answer)\s*\d*\s*[:：]\s*(.*)", re.IGNORECASE)
FOLD = re.compile(r"</?(?:details|summary)[^>]*>", re.IGNORECASE)
RULE = re.compile(r" {0,3}([-*_])(?:\s*\1){2,}\s*$")
BELOW_HEADINGS, LINE = 7, 8
"""Levels of a bold question, and of one on a line with `Q:`; those of headings are 1 to 6."""


@dataclass
class _Question:
    number: int
    level: int
    asked: list[str]
    answer: list[str] = field(default_factory=list)
    answered: bool = False
    """Whether its answer has begun."""


def questions_of(lines: Sequence[str], path: str, problems: Problems) -> Iterator[tuple[int, str, str]]:
    """Yield line number, question and answer of each; a question without an answer is a problem.

    A heading of the first level with questions below it, and any heading with a question right below, is a title.
    """
    current: _Question | None = None
    fenced = False
    skipped = -1
    for index, line in enumerate(lines):
        if index == skipped:
            continue
        fenced ^= FENCE.match(line) is not None
        level, asked = (0, "") if fenced else _begins(lines, index)
        if level and index + 1 < len(lines) and UNDERLINE.match(lines[index + 1]) and not HEADING.match(line):
            skipped = index + 1
        if level and not asked and current is not None and current.level < level < BELOW_HEADINGS:
            level = 0  # a heading inside an answer
        if level:
            above = current is not None and bool(asked) and current.level < min(level, BELOW_HEADINGS)
            if not (above and current is not None and (current.level == 1 or not "".join(current.answer).strip())):
                yield from _finished(current, path, problems)
            current = _Question(index + 1, level, [asked]) if asked else None
        elif current is not None:
            _go_on(current, line, fenced)
    yield from _finished(current, path, problems)


def _begins(lines: Sequence[str], index: int) -> tuple[int, str]:
    """Return the level of the question or heading that a line begins, else 0, and the question, if it is one."""
    line = lines[index]
    heading = HEADING.match(line)
    below = lines[index + 1] if index + 1 < len(lines) else ""
    bare = _bare(FOLD.sub("", line))
    if heading or (line.strip() and not line[:4].isspace() and not RULE.match(line) and UNDERLINE.match(below)):
        level, text = (len(heading[1]), _bare(heading[2])) if heading else (1 if "=" in below else 2, bare)
        asked = ASKED.fullmatch(text)
        return level, asked[1] if asked else text if _asks(text) else ""
    if asked := ASKED.fullmatch(bare):
        return LINE, asked[1] or " "
    is_bold = BOLD.fullmatch(MARK.sub("", line, count=1).strip()) or "<summary" in line.lower()
    return (BELOW_HEADINGS, bare) if is_bold and _asks(bare) else (0, "")


def _go_on(question: _Question, line: str, fenced: bool) -> None:
    """Add a line to a question or to its answer."""
    answered = None if fenced or question.answered else ANSWERED.fullmatch(_bare(line))
    if answered:
        question.answered = True
        question.answer.append(answered[1])
    elif question.answered or question.level != LINE or _asks(question.asked[-1]):
        question.answered = question.answered or bool(line.strip())
        question.answer.append(line)
    else:
        question.asked.append(_bare(line))


def _finished(question: _Question | None, path: str, problems: Problems) -> Iterator[tuple[int, str, str]]:
    if question is None:
        return
    lines = [FOLD.sub("", line).rstrip() for line in question.answer]
    while lines and (not lines[-1] or RULE.match(lines[-1])):
        lines.pop()
    asked, answer = " ".join(filter(None, map(str.strip, question.asked))), "\n".join(lines).strip()
    if asked and answer:
        yield question.number, asked, answer
    else:
        what = "question has no answer; write it below" if asked else "answer has no question; write it behind Q:"
        problems.row("broken row", f"{path}, line {question.number}: the {what}, or remove it")


def _asks(text: str) -> bool:
    return text.endswith(("?", "？", "؟"))


def _bare(text: str) -> str:
    """Return a line without the marks of lists, numbers and bold type."""
    return re.sub(r"\*\*|__", "", MARK.sub("", text, count=1)).strip(" \t*_`")
