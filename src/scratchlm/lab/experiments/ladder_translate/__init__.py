"""The experiment `ladder-translate`."""
