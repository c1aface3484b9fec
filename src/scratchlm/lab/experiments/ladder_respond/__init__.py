"""The experiment `ladder-respond`."""
