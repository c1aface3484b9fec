"""`experiment vocabulary`: bits per byte over the number of tokens, and by kind of tokenizer."""
