"""Data, models and scores shared by several experiments."""
