"""Throws generated and mutated messages at parsers and running stages: ``python -m benchmarks.fuzz``."""
