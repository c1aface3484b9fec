"""One run with many settings: which of them is best."""
