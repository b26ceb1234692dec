"""Labelled tickets as a memory: the ones most like a ticket, what they say of it, and which a model is shown."""
