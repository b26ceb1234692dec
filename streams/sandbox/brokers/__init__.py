"""Brokers on this machine: the embedded one, and a local Apache Kafka."""
