"""The experiment `label-efficiency`."""
