"""The experiment `limits`."""
