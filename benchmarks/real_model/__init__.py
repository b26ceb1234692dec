"""What a real language model's confidence is worth as the cheap tier, with and without a memory of labelled tickets."""
