"""`experiment patching`: one value of a forward pass decides whose pet is named."""
