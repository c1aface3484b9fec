"""The experiment `objective`."""
