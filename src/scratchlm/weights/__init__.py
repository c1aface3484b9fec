"""Reading and writing of weights: mapping tables and checkpoints."""
