"""The only training loop, and what it is handed: loss, schedule, optimizer."""
