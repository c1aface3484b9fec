"""Processes that train one model together: sums of gradients, parts of weights, and a watch on lost ranks."""
