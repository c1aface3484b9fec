"""The course: its chapters, their exercises, and how these are checked."""
