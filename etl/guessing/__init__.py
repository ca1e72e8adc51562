"""Guesses once how data is written and what its fields are, for the text of a new source. No run guesses."""
