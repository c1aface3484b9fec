"""`experiment context`: how a model uses the tokens before the one it predicts."""
