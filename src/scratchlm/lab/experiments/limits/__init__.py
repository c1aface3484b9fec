"""`experiment limits`: where a fine-tuned model is fluent but wrong."""
