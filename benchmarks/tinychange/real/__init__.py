"""Real language models as the subject: their files, how they are served, and their training."""
