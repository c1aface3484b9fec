"""One module an experiment; `config` has the settings of all, `recipes/` their usual values."""
