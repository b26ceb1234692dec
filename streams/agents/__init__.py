"""One handler per file: a message in, the messages to send out. None of them touches Kafka."""
