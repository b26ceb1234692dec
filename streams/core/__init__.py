"""Values in, values out: reading, scoring, deciding, drift. No Kafka, HTTP, files or clock."""
