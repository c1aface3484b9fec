"""Experiments that prove what the notes say, and the quiz on them."""
