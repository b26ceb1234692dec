"""Tells people and programs elsewhere, by HTTP, of alerts and of new reviews."""
