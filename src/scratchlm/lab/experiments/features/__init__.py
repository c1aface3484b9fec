"""`experiment features`: which properties of a token linear probes can read from a model, and at which layer."""
