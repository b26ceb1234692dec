"""Gemma 3 270M as the benchmark's subject: its files, its gradients, and how it is served."""
