"""Fine-tunings, each data and a loss handed to the one training loop."""
