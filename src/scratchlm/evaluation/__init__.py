"""Measurement on held-out text."""
