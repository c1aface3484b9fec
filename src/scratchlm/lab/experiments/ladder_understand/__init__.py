"""The experiment `ladder-understand`."""
