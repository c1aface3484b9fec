"""Text in: sources, documents, cleaning, and the corpora that need no network."""
