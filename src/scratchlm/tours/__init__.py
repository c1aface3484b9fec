"""The whole life of a small model, to be watched: in minutes, or replayed on a page."""
