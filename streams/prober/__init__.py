"""The probing process: every endpoint is asked one short question on a schedule."""
