"""hedgerow desk: the web pages on which a team decides tickets, and who may use them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli.login import login_name
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run_logged
from streams.cli.tables import Column, show_table

if TYPE_CHECKING:
    from streams.desk.roles import Role

app = typer.Typer(help="Serve the web pages on which a team decides tickets.", invoke_without_command=True)
users = typer.Typer(help="Say who may use the desk.", no_args_is_help=True)
tokens = typer.Typer(help="Give other tools access to the desk's API.", no_args_is_help=True)
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")

_DEFAULT_USERS = Path("desk-users.yaml")
UsersPath = Annotated[Path, typer.Option("--users", "-u", help="Users file")]
Name = Annotated[str, typer.Argument(help="Name to log in with")]
RoleName = Annotated[str, typer.Option("--role", help="What they may do: reviewer, lead or operator")]


@app.callback()
def desk(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: that of the settings)")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, 0 for any (default: that of the settings)")
    ] = None,
    users_file: Annotated[
        Path | None, typer.Option("--users", "-u", help="Users file (default: that of the settings)")
    ] = None,
    log_json: Annotated[bool, typer.Option(help="Log one JSON object a line")] = False,
) -> None:
    """Serve the web pages on which a team decides tickets, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    require_desk()
    from streams.desk.serving import check_exposure, serve
    from streams.observability.logs import configure_logging
    from streams.settings import load_settings

    settings = load_settings(config)
    chosen = {
        name: value
        for name, value in (("host", host), ("port", port), ("users", users_file and str(users_file)))
        if value is not None
    }
    settings = settings.model_copy(update={"desk": settings.desk.model_copy(update=chosen)})
    check_exposure(settings)
    configure_logging(json=log_json, redact=settings.redact)
    local = "" if settings.desk.has_login else login_name()

    def started(address: str) -> None:
        print(f"desk at {address}", flush=True)

    run_logged(serve(settings, local, started))


@users.command("add")
def add_user(
    name: Name,
    role: RoleName,
    file: UsersPath = _DEFAULT_USERS,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For those whom a proxy or OpenID Connect logs in")
    ] = False,
) -> None:
    """Add a user, or replace one; the password is asked for, or read as one line from a pipe."""
    require_desk()
    from streams.desk.users import User, password_hash, set_user

    set_user(file, name, User(role=_role(role), password=None if no_password else password_hash(_password())))
    print(f"{name} is a {role} in {file}")


@users.command("remove")
def remove(name: Name, file: UsersPath = _DEFAULT_USERS) -> None:
    """Take a user out; a desk that runs lets them do nothing more."""
    require_desk()
    from streams.desk.users import remove_user

    remove_user(file, name)
    print(f"{name} is no longer in {file}")


@users.command("list")
def list_users(file: UsersPath = _DEFAULT_USERS, as_json: AsJson = False) -> None:
    """Print who may use the desk, people and tools."""
    require_desk()
    from streams.desk.users import load_users

    known = load_users(file)
    rows = [
        (name, str(user.role), "password" if user.password else "no password") for name, user in known.users.items()
    ]
    rows += [(name, str(token.role), "token") for name, token in known.tokens.items()]
    if as_json:
        for name, role, login in rows:
            print(orjson.dumps({"name": name, "role": role, "login": login}).decode())
        return
    show_table((Column("name"), Column("role"), Column("login")), rows, title=f"{len(rows)} in {file}")


@tokens.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Name of the tool")], role: RoleName, file: UsersPath = _DEFAULT_USERS
) -> None:
    """Make a token for a tool and print it; the file keeps only a digest, so it is shown this once."""
    require_desk()
    from streams.desk import users as users_file

    print(users_file.add_token(file, name, _role(role)))


def require_desk() -> None:
    """Return if the extra ``desk`` is installed; raises SettingsError that says how to install it."""
    from streams.errors import SettingsError
    from streams.sandbox.extras import missing_extra

    missing = missing_extra("the desk", "desk")
    if missing is not None:
        raise SettingsError(missing)


def _role(name: str) -> Role:
    from streams.desk.roles import Role
    from streams.errors import SettingsError

    try:
        return Role(name)
    except ValueError:
        raise SettingsError(f"--role {name}: {', '.join(Role)} is expected") from None


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
