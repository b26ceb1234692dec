"""The users file: names, roles and password hashes (Argon2id), and the API tokens of other tools."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas import MAX_NAME, bytes_of
from streams.desk.roles import Role
from streams.errors import SettingsError
from streams.files import one_line, read_yaml

log = structlog.get_logger(__name__)

MIN_PASSWORD = 8
MAX_PASSWORD = 1_024


def _printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name is printable, and neither begins nor ends with a space")
    return name


UserName = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class User(_Part):
    """Somebody who may use the desk."""

    role: Role
    password: Annotated[str | None, Field(repr=False)] = None
    """The Argon2 hash; None for those whom a proxy or OpenID Connect logs in."""


class Token(_Part):
    """A tool that may use the desk's API; the token itself is in no file."""

    role: Role
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]


class Users(_Part):
    """What a users file says."""

    users: dict[UserName, User] = {}
    tokens: dict[UserName, Token] = {}

    def token(self, secret: str) -> tuple[str, Role] | None:
        """Return the name and role of the tool that this token is of; None if it is of none."""
        digest = _digest(secret)
        for name, token in self.tokens.items():
            if secrets.compare_digest(token.sha256, digest):
                return name, token.role
        return None


def load_users(path: Path) -> Users:
    """Read a users file; raises SettingsError with one line that names the fault, and no password."""
    try:
        return Users.model_validate(read_yaml(path, "users"))
    except ValidationError as error:
        raise SettingsError(f"{path}: {one_line(error, Users)}") from None


class UsersFile:
    """A users file that is read again when it has changed, so that a user can be added while the desk runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamped()
        self._users = load_users(path)

    def current(self) -> Users:
        """Return what the file says now; while it cannot be read, what it said before."""
        stamp = self._stamped()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._users = load_users(self._path)
            except SettingsError as error:
                log.warning("the users file cannot be read: the users are those of before", problem=str(error))
        return self._users

    def _stamped(self) -> tuple[int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino


def password_hash(password: str) -> str:
    """Return the Argon2id hash of a password; raises SettingsError for one that is too short or too long."""
    from argon2 import PasswordHasher

    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise SettingsError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return PasswordHasher().hash(password)


class Passwords:
    """Checks passwords; a name that does not exist takes as long as one that does."""

    def __init__(self) -> None:
        self._nobody = password_hash(secrets.token_urlsafe(16))

    def fits(self, user: User | None, password: str) -> bool:
        """Return whether this is the user's password. It takes some 50 ms of a core, on purpose."""
        from argon2 import PasswordHasher
        from argon2.exceptions import InvalidHashError, VerificationError

        known = user is not None and user.password is not None
        hashed = user.password if user is not None and user.password is not None else self._nobody
        try:
            PasswordHasher().verify(hashed, password[:MAX_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
        return known


def set_user(path: Path, name: str, user: User) -> None:
    """Add a user, or replace one; the file is made if there is none. Raises SettingsError."""
    users = _existing(path)
    _write(
        path,
        {**_values(users), "users": _values(users)["users"] | {name: user.model_dump(mode="json", exclude_none=True)}},
    )


def remove_user(path: Path, name: str) -> None:
    """Take a user out, who can do nothing more from then on; raises SettingsError if there is none of that name."""
    values = _values(load_users(path))
    if name not in values["users"]:
        raise SettingsError(f"{path}: no user {name!r}")
    del values["users"][name]
    _write(path, values)


def add_token(path: Path, name: str, role: Role) -> str:
    """Add a token for a tool, or replace the one it has, and return it: nothing keeps it. Raises SettingsError."""
    secret = secrets.token_urlsafe(32)
    values = _values(_existing(path))
    values["tokens"][name] = {"role": str(role), "sha256": _digest(secret)}
    _write(path, values)
    return secret


def _digest(secret: str) -> str:
    return hashlib.sha256(bytes_of(secret)).hexdigest()


def _existing(path: Path) -> Users:
    return load_users(path) if path.exists() else Users()


def _values(users: Users) -> dict[str, dict[str, object]]:
    values: dict[str, dict[str, object]] = users.model_dump(mode="json", exclude_none=True)
    return values


def _write(path: Path, values: dict[str, dict[str, object]]) -> None:
    """Check what is to be written and put it in the file's place, whole, for its owner alone."""
    try:
        Users.model_validate(values)
    except ValidationError as error:
        raise SettingsError(one_line(error, Users)) from None
    try:
        handle, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yaml.safe_dump(values, file, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise SettingsError(f"users file {path}: {error.strerror}") from None
