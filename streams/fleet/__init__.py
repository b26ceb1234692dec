"""What workers tell one another, over the topic ``fleet``."""
