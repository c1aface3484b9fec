"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam.

The first fold is tested. Each seed draws labels from the other folds, at least two of each class, and gives every
network its own first weights and order of batches; a seed's larger draws contain its smaller ones. All methods learn
from the same draws. The settings of every method are chosen once, on other draws and another fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchlm.base.errors import UserError
from scratchlm.base.statistics import Comparison, compare_statistics
from scratchlm.evaluation.classes import best_threshold, f1_interval, f1_of
from scratchlm.lab.experiments.config import LabelEfficiencyConfig
from scratchlm.lab.harness.findings import Cell, Findings, Row, above, every
from scratchlm.lab.harness.outcome import Value
from scratchlm.lab.harness.steps import Steps
from scratchlm.lab.shared.detectors import Detector, Setting, detectors, grid, tuning_rows, tuned
from scratchlm.lab.shared.folds import Folded, read_folded
from scratchlm.lab.shared.networks import NetworkTexts
from scratchlm.lab.shared.ranking import average_precision, compare_rankings
from scratchlm.lab.shared.small_model import SmallModel, prepare_small_model

TESTED, VALIDATED = 0, 1
"""The fold that is tested, and the one on which settings are compared."""
SCORES = {"average_precision": "Average precision", "f1": "F1", "f1_at_threshold": "F1 at tuned threshold"}
