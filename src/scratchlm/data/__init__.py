"""From token ids to batches: shards on disk, windows, packed rows, pairs of sources and targets."""
