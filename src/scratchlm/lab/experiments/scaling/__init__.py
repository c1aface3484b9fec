"""`experiment scaling`: loss against parameters, tokens and compute; two published laws predict a larger run."""
