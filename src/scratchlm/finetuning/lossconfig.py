"""The losses of preferences and their settings. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from scratchlm.base.ranges import Positive


@dataclass(frozen=True)
class DPOConfig:
    """Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290)."""

    type: ClassVar[str] = "dpo"
    beta: Positive = 0.1
    """How strongly the model is held to the reference model."""


@dataclass(frozen=True)
class IPOConfig:
    """Identity preference optimization (Azar et al. 2023, arXiv 2310.12036): the margin is drawn to 1 / (2 beta).

    On means a token, as its authors advise, so that length has no part.
    """

    type: ClassVar[str] = "ipo"
    beta: Positive = 0.1
    """Half the inverse of the wanted margin."""


@dataclass(frozen=True)
class KTOConfig:
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv 2402.01306): each answer is good or bad by itself.

    What both are compared with, the paper's KL term, is taken as the mean reward of a batch, or of a micro-batch where
    there are several, at least 0.
    """

    type: ClassVar[str] = "kto"
    beta: Positive = 0.1
    """How strongly the model is held to the reference model."""
    rejected_weight: Positive = 1.0
    """Weight of bad answers beside good ones."""


@dataclass(frozen=True)
class ORPOConfig:
    """Odds-ratio preference optimization (Hong et al. 2024, arXiv 2403.07691): the chosen answer is learned as well.

    Needs no reference model.
    """

    type: ClassVar[str] = "orpo"
    weight: Positive = 0.1
    """Weight of the odds ratio beside the loss of the chosen answer."""


@dataclass(frozen=True)
class SimPOConfig:
    """Simple preference optimization (Meng et al. 2024, arXiv 2405.14734): mean log-probabilities, and a margin.

    Needs no reference model.
    """

    type: ClassVar[str] = "simpo"
    beta: Positive = 2.0
    """What the difference of the means is multiplied by."""
    margin: float = 1.0
    """By how much the chosen answer must lead."""


@dataclass(frozen=True)
class RewardConfig:
    """A reward model (Bradley and Terry 1952): a head scores whole answers, the chosen one higher."""

    type: ClassVar[str] = "reward"


Method = Literal["dpo", "ipo", "kto", "orpo", "simpo", "reward"]
PreferenceLossConfig = DPOConfig | IPOConfig | KTOConfig | ORPOConfig | SimPOConfig | RewardConfig
LOSSES: dict[str, PreferenceLossConfig] = {
    each.type: each for each in (DPOConfig(), IPOConfig(), KTOConfig(), ORPOConfig(), SimPOConfig(), RewardConfig())
}
