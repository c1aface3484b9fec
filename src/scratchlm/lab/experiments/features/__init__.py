"""The experiment `features`."""
