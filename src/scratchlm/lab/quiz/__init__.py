"""The cards of the notes: spaced repetition, exams, and export to Anki."""
