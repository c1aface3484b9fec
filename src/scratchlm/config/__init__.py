"""What a command can be told: settings of configs as flags, help, completion and arguments of Python calls."""
