"""The training of a byte model as a page that replays it."""
