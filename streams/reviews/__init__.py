"""What waits for a reviewer: the review store, and what a decision becomes."""
