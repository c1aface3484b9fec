"""The decoder and its interchangeable parts: ids in, logits out, no I/O."""
