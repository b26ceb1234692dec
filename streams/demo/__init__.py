"""The whole pipeline on one machine: brokers, models, workers, a live view, and an account of every ticket."""
