"""Questions and answers: the cards of the notes, asked spaced over days, as an exam, or handed on to Anki."""
