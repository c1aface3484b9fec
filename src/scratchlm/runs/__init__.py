"""Whole runs as Python functions, and the named recipes."""
