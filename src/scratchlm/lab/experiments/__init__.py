"""One folder an experiment: its settings, what it measures, and its recipe."""
