"""What talks to a broker and is no stage: connections, producers, readers, topics, rights."""

from streams.kafka.closed_transports import count_as_broken

count_as_broken()  # before any client is made
