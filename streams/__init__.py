"""Hedgerow: routes support tickets by how sure the language model really was."""
