"""The worker process: its agents, its watchdog, its end."""
