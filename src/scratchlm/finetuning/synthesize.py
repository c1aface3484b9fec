"""`scratchlm synthesize`: documents in, conversations out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scratchlm.base.endpoint import Endpoint
from scratchlm.base.errors import UserError
from scratchlm.base.files import require_file_place, write_text
from scratchlm.base.result import Result
from scratchlm.finetuning.config import SynthesizeConfig
from scratchlm.finetuning.synthetic import TEMPLATES, Keeper, from_endpoint, from_templates, read_templates
from scratchlm.text.counts import Counts
from scratchlm.text.sources import open_source


@dataclass(frozen=True, repr=False)
class SynthesizeResult(Result):
    """What was made."""

    out: str
    conversations: int
    by_template: dict[str, int]
    near_duplicates: int
    unusable: int
    documents: int
    example: dict[str, Any]

    def __rich__(self) -> str:
        kinds = ", ".join(f"{name} {count:,}" for name, count in self.by_template.items())
        asked, answered = (message["content"] for message in self.example["messages"])
        lines = [
            f"{self.conversations:,} conversations of {self.documents:,} documents ({kinds}); left out: "
            f"{self.near_duplicates:,} like an earlier one"
            + (f", {self.unusable:,} replies without question and answer" if self.unusable else ""),
            f"asked:    {asked}",
            f"answered: {answered}",
            f"learn them with: scratchlm finetune instruct --init MODEL --data {self.out} --out RUN",
        ]
        return "\n".join(lines)


def synthesize(config: SynthesizeConfig) -> SynthesizeResult:
    """Make conversations of documents and write them, whole or not at all.

    Raises `UserError` for documents, templates or an endpoint that cannot be used, and where nothing could be made.
    """
    if config.out.exists() and not config.force:
        raise UserError(f"--out {config.out}: exists already; give --force to replace it")
    require_file_place(config.out)
    templates = TEMPLATES if config.templates is None else read_templates(config.templates)
    keeper, counts, read = Keeper(config.near_duplicates, config.count), Counts(), 0

    def texts() -> Iterator[tuple[str, str]]:
        nonlocal read
        for source in config.sources:
            for document in open_source(source, text_column=config.text_column).documents(counts):
                read += 1
                yield document.text, document.source

    broken: UserError | None = None
    if config.endpoint is not None:
        endpoint = Endpoint(config.endpoint, config.endpoint_model)
        try:
            from_endpoint(texts(), endpoint, keeper, config.per_document, config.seed)
        except UserError as error:  # what was made until then is kept
            broken = error
    else:
        from_templates(texts(), templates, keeper, config.per_document, config.seed)
    counts.warn()
    if broken is not None and not keeper.conversations:
        raise broken
    if not keeper.conversations:
        why = f"{keeper.passages:,} passages of whole sentences were found in {read:,} documents"
        raise UserError(f"synthesize: no conversation could be made; {why}; give other documents or templates")
    write_text(config.out, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in keeper.conversations))
    if broken is not None:
        raise UserError(f"{broken}; the {len(keeper.conversations):,} conversations made before are in {config.out}")
    return SynthesizeResult(
        out=str(config.out),
        conversations=len(keeper.conversations),
        by_template=dict(keeper.by_template),
        near_duplicates=keeper.near_duplicates,
        unusable=keeper.unusable,
        documents=read,
        example=keeper.conversations[0],
    )
