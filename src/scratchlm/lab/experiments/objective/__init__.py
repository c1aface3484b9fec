"""`experiment objective`: loss and samples before, during and after training; then other kinds of tokens."""
