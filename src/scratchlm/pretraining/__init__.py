"""Pretraining: from a plan to a run folder with a model."""
