"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam.

The first fold is tested. Each seed draws labels from the other folds, at least two of each class, and starts every
network from its own weights; a seed's larger draws contain its smaller ones. All methods learn from the same draws.
Settings are chosen alike for every method and number of labels: trained on one more draw, compared on another fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.evaluation.classes import best_threshold, f1_interval, f1_of
from scratchlm.lab.experiments.config import LabelEfficiencyConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row, Test, above, every
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.detectors import Detector, Setting, described, detectors, grid, tune
from scratchlm.lab.shared.folds import Folded, read_folded
from scratchlm.lab.shared.ranking import average_precision, compare_rankings
from scratchlm.lab.shared.small_model import prepare_small_model
