"""What a time budget and the machine decide: number format, depth and steps, before the first step and on the way."""
