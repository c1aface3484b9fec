"""`experiment ablations`: what happens to a model when its parameters are changed, frozen or removed."""
