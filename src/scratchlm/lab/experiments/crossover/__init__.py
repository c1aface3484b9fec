"""`experiment crossover`: the size from which on language models overtake earlier methods, task by task."""
