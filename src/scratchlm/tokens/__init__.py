"""Text to ids and back: tokenizers, chat rendering, shards, batches."""
