"""`experiment compare-reading`: question answering on passages of fairy tales, from rules to a fine-tuned model."""
