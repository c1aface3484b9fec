"""`python -m scratchlm` is the command `scratchlm`."""

from scratchlm.cli import main

main()
