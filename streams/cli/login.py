"""Who is at the terminal."""

from __future__ import annotations

import getpass

from streams.errors import SettingsError


def login_name() -> str:
    """Return the user's login name; raises SettingsError for a user without one, as containers have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise SettingsError("this user has no login name: give a name with --by") from None
