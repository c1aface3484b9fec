"""The whole life of a model in minutes."""
