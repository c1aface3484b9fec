"""What a pretraining begins with: a model, a loss, the hashes of what it reads, and its recipe on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from scratchlm.base.device import DTYPES, choose_device
from scratchlm.base.errors import UserError
from scratchlm.base.paths import stored_path
from scratchlm.data.batches import Tokens
from scratchlm.data.prepared import read_report
from scratchlm.model.config import DecoderConfig
from scratchlm.model.decoder import build_decoder, outline
from scratchlm.model.lora import unpack_base
from scratchlm.model.network import CausalLM
from scratchlm.pretraining.budget.settling import Settled
from scratchlm.pretraining.config import PretrainConfig
from scratchlm.pretraining.forecast import Forecast, forecast
from scratchlm.runs.resuming import (
    JOB,
    digest_of_model,
    torchrun_job,
)
from scratchlm.runs.run import begin_run, stored_values
from scratchlm.tokens.base import Tokenizer
from scratchlm.training.distilling import distillation_loss, load_teacher
from scratchlm.training.loss import Loss, next_token_loss
from scratchlm.training.profiling import require_training_memory
from scratchlm.training.ranks import Ranks
from scratchlm.training.stages import stages
from scratchlm.weights.checkpoint import SavedModel, find_model, load_model, require_trainable
from scratchlm.weights.ensemble import digest_of_models, load_network


def beginning_on(ranks: Ranks, config: PretrainConfig, tokenizer: Tokenizer) -> SavedModel:
    """Return `beginning` on every rank; where each is to hold a part, the first alone holds the whole."""
    if config.sharding == "none":
        return beginning(config, tokenizer)
    if ranks.size == 1:
        raise UserError(f"--sharding {config.sharding}: needs several processes; start them with torchrun")
    from scratchlm.training.distributed.sharding import require_shared  # a second of imports, which only such runs need

    first: list[SavedModel] = []

    def begin() -> DecoderConfig:
        first.append(beginning(config, tokenizer))
        require_shared(ranks, config.sharding, config.training)
        return first[0].decoder.config

    shape = ranks.from_first(begin)
    return first[0] if first else SavedModel(outline(shape), tokenizer)


def beginning(config: PretrainConfig, tokenizer: Tokenizer) -> SavedModel:
    """Build the model with random weights, or load the one to continue, with its template and settings."""
    shape = dataclasses.replace(config.model, vocabulary_size=tokenizer.vocabulary_size)
    if config.training.sequence_length > shape.context:
        raise UserError(
            f"training.sequence_length {config.training.sequence_length}: exceeds model.context {shape.context}; "
            "lower the first or raise the second"
        )
    if config.init is None:
        if choose_device(config.device).type == "cpu":
            require_training_memory(outline(shape), config.training, DTYPES["bf16"])
        return SavedModel(build_decoder(shape, config.seed), tokenizer)
    saved = load_model(find_model(config.init))
    require_trainable(saved, config.init)
    if saved.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"--init {config.init}: its tokenizer ({saved.tokenizer.fingerprint[:12]}) is not that of --data "
            f"{config.data[0]} ({tokenizer.fingerprint[:12]}); prepare the data with --tokenizer {config.init}"
        )
    if config.training.sequence_length > saved.decoder.config.context:
        raise UserError(
            f"training.sequence_length {config.training.sequence_length}: exceeds the context of --init, "
            f"{saved.decoder.config.context}; lower it"
        )
    unpack_base(saved.decoder)
    saved.base, saved.nf4 = None, False  # everything is trained, so everything is stored
    return saved


def loss_of(config: PretrainConfig, saved: SavedModel, ranks: Ranks) -> Loss:
    """Return the loss that trains a model; what keeps a teacher from teaching is reported on the first rank."""
    place, length = config.teacher, config.training.sequence_length
    if place is None:
        return next_token_loss
    teachers: list[CausalLM] = []
    ranks.from_first(lambda: teachers.append(load_teacher(place, saved, length)))
    teacher = teachers[0] if teachers else load_network(place)[0]
    return distillation_loss(teacher.to(choose_device(config.device)), config.distillation)


def inputs_of(config: PretrainConfig, data: str) -> dict[str, str]:
    """Return the hash of each thing that a run reads."""
    inputs = {"data": data}
    if config.init is not None:
        inputs["init"] = digest_of_model(config.init)
    if config.teacher is not None:
        inputs["teacher"] = digest_of_models(config.teacher)
    return inputs


def forecast_of(config: PretrainConfig, tokens: Tokens, step: float | None) -> Forecast:
    """Return what is expected of a run whose steps take `step` seconds, None where that is not known."""
    read = sum(stage.tokens for stage in stages(tokens, config.training, config.seed))
    return forecast(config.recipe, outline(config.model), config.training, DTYPES[config.dtype], read, step)


def write_beginning(
    out: Path,
    settled: Settled,
    tokenizer: Tokenizer,
    inputs: dict[str, str],
    ranks: Ranks,
    expected: Forecast | None = None,
) -> None:
    """Write the run's recipe, each value marked with where it came from, and its manifest."""
    config, values = settled.config, stored_values(settled.stored, out)
    if Path(config.recipe).is_file():
        values["recipe"] = stored_path(Path(config.recipe), out)
    notes: dict[str, Any] = {"dtype": config.dtype, "dtype_reason": settled.dtype.reason}
    notes |= {"seed": config.seed, "tokenizer": tokenizer.fingerprint, "ranks": ranks.size}
    notes |= {JOB: job} if (job := torchrun_job()) is not None else {}
    if config.minutes is not None and settled.step is not None:
        notes["budget"] = {"spent": settled.spent, "step": settled.step, "revisions": []}
    before = None if expected is None else dataclasses.asdict(expected)
    begin_run(out, values, settled.marks, {**notes, "forecast": before, "inputs": inputs})


def provenance_of(config: PretrainConfig, before: SavedModel) -> dict[str, Any]:
    """Return where the weights come from: this run's data, and the data and licence of the model that it continues.

    Files go by their names: a model may be handed on, and where its text lay on this machine concerns nobody.
    """
    reports = [read_report(folder) for folder in config.data]
    sources = [
        {"name": Path(source["name"]).name, "licence": source["licence"]}
        for report in reports
        for source in report.sources
    ]
    earlier = [source for source in before.provenance.get("sources") or [] if source not in sources]
    return {
        "recipe": Path(config.recipe).name,
        "steps": config.training.steps,
        "sources": sources + earlier,
        "init": None if config.init is None else config.init.name,
        "teacher": None if config.teacher is None else config.teacher.name,
        "licence": before.provenance.get("licence"),
    }
