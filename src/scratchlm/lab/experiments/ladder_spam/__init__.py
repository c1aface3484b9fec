"""`experiment ladder-spam`: spam detection on the same messages by each kind of method."""
