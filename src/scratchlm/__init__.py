"""scratchlm: build a language model from scratch, look inside it, and put it to work."""
