"""What is measured, each with the command that prints it."""
