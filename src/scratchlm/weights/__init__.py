"""Weights in and out: mapping tables and checkpoints."""
