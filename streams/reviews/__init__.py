"""What waits for a person: the review store, and what a decision becomes."""
