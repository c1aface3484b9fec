"""Guesses of a reader, which the notebooks of the course ask for before they show a result."""

from __future__ import annotations

from typing import Literal


def guessed(guess: float | Literal["skip"] | None, result: float, unit: str) -> bool:
    """Print a result, and how far a guess was from it. Print and return nothing of it as long as there is no guess."""
    if guess is None:
        print("Your guess first: set it in the cell above. Then run this cell again.")
        return False
    shown = f"{result:,.0f}" if float(result).is_integer() else f"{result:.3g}"
    print(f"Result: {shown} {unit}.", end=" ")
    if guess == "skip":
        print("You skipped the guess.")
    else:
        print(f"Your guess was {guess:g}, off by {abs(guess - result):.2g}.")
    return True
