"""What is reported of many ranks: before they start, and of those that are there."""
