"""A folder an experiment: measure.py, claims.toml, recipe.toml; `config` has the settings of all."""
