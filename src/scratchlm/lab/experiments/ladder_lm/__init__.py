"""The experiment `ladder-lm`."""
