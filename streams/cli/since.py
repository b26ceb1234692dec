"""Times as an operator types them: how long ago, or when."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from streams.errors import SettingsError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d{1,6})([smhd])")


def since_ms(text: str | None) -> int:
    """Return Unix time in milliseconds: 0 for None, of "90s", "30m", "2h" or "7d" ago, or of an ISO 8601 time (default: UTC).

    Raises SettingsError for any other text.
    """
    if text is None:
        return 0
    if ago := _AGO.fullmatch(text):
        return round(1000 * (time.time() - int(ago[1]) * _UNITS_S[ago[2]]))
    try:
        at = datetime.fromisoformat(text)
        return round(1000 * (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--since {text}: 90s, 30m, 2h, 7d or a time such as 2026-11-27T08:00 is expected"
        ) from None
