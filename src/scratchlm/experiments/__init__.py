"""Experiments: each claim of the notes as one command with an honest result."""
