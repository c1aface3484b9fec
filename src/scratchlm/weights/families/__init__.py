"""Families of published models: each has a table of tensor names, and functions that read and write its config.json."""
