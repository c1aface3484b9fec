"""Ids in, text out: sampling, plain and cached generation."""
