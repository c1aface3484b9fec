"""`experiment twins`: one part of a model is removed, and all else stays equal."""
