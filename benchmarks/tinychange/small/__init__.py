"""The stand-in of the small setting: a language model over letters, trained from nothing in seconds."""
