"""The experiment `ablations`."""
