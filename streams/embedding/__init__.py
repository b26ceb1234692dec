"""What makes an embedding of a text: the interface, and the model that runs on this machine."""
