"""The desk: web pages on which a team decides tickets and watches the pipeline, and the same pages as JSON."""
