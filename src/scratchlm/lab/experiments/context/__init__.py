"""The experiment `context`."""
