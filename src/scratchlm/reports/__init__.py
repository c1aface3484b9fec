"""The reports that runs write."""
