"""The worker process: its stages, its watchdog, its end."""
