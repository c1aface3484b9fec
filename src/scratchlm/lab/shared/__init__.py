"""Data, models and scores that several experiments share."""
