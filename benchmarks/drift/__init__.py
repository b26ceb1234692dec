"""What the drift detectors see and what they cost: speed against the obvious ways, quality, and the path through Kafka."""
