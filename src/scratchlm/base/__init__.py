"""What every layer stands on: errors, files, config, device, run log, statistics."""
