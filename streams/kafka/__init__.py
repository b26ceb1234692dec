"""What talks to a broker and is no stage: connections, producers, readers, topics, rights."""
