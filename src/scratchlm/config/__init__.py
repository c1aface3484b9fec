"""What a command takes: settings of configs as flags, help, completion and arguments of Python calls."""
