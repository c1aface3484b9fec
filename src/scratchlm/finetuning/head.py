"""Classes of texts: a head on the hidden state of a text's last token, trained on labelled texts.

The target of a text stands at its last token, behind which nothing has a part: what a text is called depends neither on
padding nor on the texts beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scratchlm.model.config import ClassesConfig
from scratchlm.model.network import SequenceModel


def add_classes(network: SequenceModel, labels: Sequence[str], pooling: Literal["last", "mean"], seed: int) -> None:
    """Give a network a head for `labels`, drawn from `seed`; one that it has is replaced."""
    network.config = replace(network.config, classes=ClassesConfig(len(labels), pooling))
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(network.config.width, len(labels), bias=False, device="meta")
    drawn = torch.randn(len(labels), network.config.width, generator=generator) * network.config.init_std
    head.weight = nn.Parameter(drawn.to(network.device))
    network.classifier = head


def balanced_weights(labels: Sequence[int], classes: int) -> Float[Tensor, " C"]:
    """Return weights by which all classes weigh the same in sum, their mean over the texts being 1."""
    counts = Counter(labels)
    return torch.tensor([len(labels) / (classes * counts[index]) for index in range(classes)])
