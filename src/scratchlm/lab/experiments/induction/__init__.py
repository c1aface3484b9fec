"""`experiment induction`: a head begins to copy, all at once."""
