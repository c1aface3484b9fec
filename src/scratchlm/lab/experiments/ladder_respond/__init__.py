"""`experiment ladder-respond`: replies of ELIZA's patterns, retrieval, n-grams and a fine-tuned model."""
