"""``python -m streams.cli`` is ``hedgerow``."""

from __future__ import annotations

from streams.cli.main import main

main()
