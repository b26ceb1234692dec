"""The memory: labelled tickets with their embeddings, and what makes an embedding of a text."""
