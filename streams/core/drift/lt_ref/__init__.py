"""`lt-ref`: every row against a fixed reference of the endpoint's own."""
