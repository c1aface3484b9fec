"""The experiment `tasks`."""
