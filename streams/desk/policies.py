"""The pages of the policy: the one in the desk's settings, what its calibration promised, and what another one would change."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field, ValidationError

from schemas import bytes_of
from streams.core.policy.policy import Policy
from streams.desk.facts import Facts
from streams.desk.page import Ask, Fields, Page, Refused, View
from streams.desk.roles import Role
from streams.errors import SettingsError
from streams.files import document_of, one_line

_MAX_POLICY = 100_000


class ProposedFields(Fields):
    """A policy file as it stands, YAML or JSON."""

    policy: Annotated[str, Field(max_length=_MAX_POLICY)]


async def show_policies(ask: Ask, _: Fields) -> View:
    """Show the policy that the desk's settings name, and its bound."""
    return _view(ask, None)


async def compare(ask: Ask, fields: ProposedFields) -> View:
    """Show what a proposed policy would change; it changes nothing."""
    return _view(ask, await asyncio.to_thread(_read, fields.policy))


def _view(ask: Ask, proposed: Policy | None) -> View:
    policy = ask.desk.settings.policy
    now = _flat(policy.model_dump(mode="json"))
    facts: Facts = {"policy_id": policy.id, "values": now, "fitted": _bound(policy), "proposed": None, "changes": []}
    if proposed is not None:
        then = _flat(proposed.model_dump(mode="json"))
        changes = [
            {"name": name, "now": now.get(name), "then": then.get(name)}
            for name in sorted(now.keys() | then.keys())
            if now.get(name) != then.get(name)
        ]
        facts |= {"proposed": {"policy_id": proposed.id, "fitted": _bound(proposed)}, "changes": changes}
    return View("policies.html", facts)


def _read(text: str) -> Policy:
    """Return the policy in a file's text; raises Refused with the line that a command would print."""
    try:
        return Policy.model_validate(document_of(bytes_of(text), "This policy"))
    except ValidationError as error:
        raise Refused(400, f"This is no policy: {one_line(error, Policy)}") from None
    except SettingsError as error:
        raise Refused(400, str(error)) from None


def _bound(policy: Policy) -> Facts | None:
    """Return what the calibration found on its tested half; None for a policy that none has fitted."""
    return None if policy.fitted is None else policy.fitted.model_dump(mode="json", exclude_none=True)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their path, ``cheap.min_confidence`` for instance; those of the calibration are apart."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if prefix == "" and name == "fitted":
            continue
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


PAGES: tuple[Page, ...] = (
    Page("GET", "/policies", Role.LEAD, show_policies, "The policy of the desk's settings, and its bound"),
    Page("POST", "/policies/compare", Role.LEAD, compare, "What a proposed policy file would change", ProposedFields),
)
