"""Attention: what all kinds share (`base`), their sums (`scaled_dot_product`), and each kind in a file of its own."""
