"""The experiment `ladder-spam`."""
