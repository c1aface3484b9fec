"""`experiment ladder-lm`: n-gram models and networks predict the same text; with grammar scores and samples."""
