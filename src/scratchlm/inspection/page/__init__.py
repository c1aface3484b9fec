"""The page of `scratchlm inspect --page`: one file that works offline, and runs a small model itself."""
