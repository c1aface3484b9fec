"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam.

The first fold is tested. Each seed draws labels from the other folds, at least two of each class, and starts every
network from its own weights; a seed's larger draws contain its smaller ones. All methods learn from the same draws.
Settings are chosen alike for every method and number of labels: trained on one more draw, compared on another fold.
"""

from __future__ import annotations
