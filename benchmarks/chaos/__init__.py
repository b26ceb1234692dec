"""Breaks things while tickets flow, and accounts for every ticket: ``python -m benchmarks.chaos``."""
