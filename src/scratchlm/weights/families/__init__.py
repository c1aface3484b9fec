"""Families of published models: each a table of tensor names and the reading and writing of its config.json."""
