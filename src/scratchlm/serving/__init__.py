"""Models behind OpenAI's API: one process, one thread that computes, any number of clients."""
