"""hedgerow contract: do the endpoints still give what is relied on, and what do others give?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run
from streams.cli.tables import Column, show_table
from streams.core.wording import counted

if TYPE_CHECKING:
    from streams.core.guards.contract import Contract, Contracts
    from streams.models.capability_scan import Scanned
    from streams.models.endpoint import Endpoint
    from streams.models.probed_endpoint import ProbedEndpoint
    from streams.settings import Settings

app = typer.Typer(help="Check what is relied on at each model endpoint.", no_args_is_help=True)


@app.command()
def check(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Probe every endpoint once and compare with its contract; exit 1 and a table of what broke."""
    from streams.errors import SettingsError
    from streams.settings import load_settings

    settings = load_settings(config)
    if settings.contracts is None:
        raise SettingsError(
            f"{config}: no contracts to check: write contracts: FILE; hedgerow init writes one to start from"
        )
    rows = run(_check(settings, settings.contracts))
    exceptions = _exceptions(settings.contracts)
    kept = all(row["kept"] for row in rows)
    if as_json:
        print(orjson.dumps({"kept": kept, "endpoints": rows, "exceptions": exceptions}).decode())
    else:
        _print_check(rows, exceptions)
    if not kept:
        raise typer.Exit(1)


@app.command()
def scan(
    file: Annotated[Path, typer.Argument(help="YAML file of endpoints to probe; names are optional here")],
    as_json: AsJson = False,
) -> None:
    """Report which endpoints give logprobs, in which shape, how many, and at which least length of the answer."""

    results = run(_scan(_endpoints(file)))
    if as_json:
        print(orjson.dumps([asdict(result) for result in results]).decode())
        return
    rows = [
        (
            result.name,
            result.model_returned or result.model,
            "yes" if result.logprobs else "no",
            result.shape,
            None if result.k is None else str(result.k),
            None if result.min_output_tokens is None else counted(result.min_output_tokens, "token"),
            "; ".join([*result.adapted, *(filter(None, [result.reason, result.detail]))]),
        )
        for result in results
    ]
    names = ("endpoint", "model", "logprobs", "shape", "k", "least output")
    columns = [*(Column(name) for name in names), Column("remarks", "wrap")]
    show_table(columns, rows, title=counted(len(results), "endpoint"))


async def _check(settings: Settings, contracts: Contracts) -> list[dict[str, Any]]:
    tiers = settings.tiers
    wanted = (
        (contracts.contract("cheap", tiers.cheap.model), tiers.cheap),
        (contracts.contract("big", tiers.big.model), tiers.big),
    )
    # The settings refuse a tier without a contract.
    checks = [_check_one(contract, endpoint, settings) for contract, endpoint in wanted if contract is not None]
    return list(await asyncio.gather(*checks))


async def _check_one(contract: Contract, endpoint: Endpoint, settings: Settings) -> dict[str, Any]:
    from streams.errors import HedgerowError
    from streams.models.classifier import ModelClient
    from streams.models.contract_check import probe

    row: dict[str, Any] = {
        "tier": contract.tier,
        "provider": contract.provider,
        "model": contract.model,
        "owner": contract.owner,
    }
    try:
        async with ModelClient(contract.tier, endpoint, settings.label_set, prompt=settings.prompt) as client:
            probed = await probe(client, contract)
    except HedgerowError as error:
        breach = {"name": "refused", "field": "answer", "use": "accept", "expected": "an answer", "found": str(error)}
        return {**row, "kept": False, "model_returned": None, "k": None, "breaches": [breach]}
    signal = probed.call.signal
    breaches = [asdict(breach) for breach in probed.breaches]
    return {
        **row,
        "kept": not breaches,
        "model_returned": probed.call.model_returned,
        "k": signal.k if signal.status == "scored" else None,
        "breaches": breaches,
    }


def _exceptions(contracts: Contracts) -> list[dict[str, Any]]:
    today = datetime.now(UTC).date()
    return [
        {
            "id": each.id,
            "tier": each.tier,
            "model": each.model,
            "reasons": sorted(each.reasons),
            "owner": each.owner,
            "expires": each.expires.isoformat(),
            "in_force": each.in_force(today),
        }
        for each in contracts.exceptions
    ]


def _print_check(rows: list[dict[str, Any]], exceptions: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["kept"]:
            print(f"ok   {row['tier']} tier: {row['model_returned']} keeps its contract, k = {row['k']}")
    broken = [(row, breach) for row in rows for breach in row["breaches"]]
    if broken:
        columns = (
            Column("tier"),
            Column("model"),
            Column("field"),
            Column("relied on to"),
            Column("expected", "wrap"),
            Column("found", "wrap"),
            Column("owner"),
        )
        cells = [
            (
                row["tier"],
                row["model"],
                breach["field"],
                breach["use"],
                breach["expected"],
                breach["found"],
                row["owner"],
            )
            for row, breach in broken
        ]
        show_table(columns, cells, title="broken")
    for each in exceptions:
        state = "in force until" if each["in_force"] else "not in force: it expired on"
        print(f"exception {each['id']} of {each['owner']}: {state} {each['expires']}")


def _endpoints(file: Path) -> list[ProbedEndpoint]:
    from pydantic import TypeAdapter, ValidationError

    from streams.errors import SettingsError
    from streams.files import one_line, read_document
    from streams.models.probed_endpoint import ProbedEndpoint

    document = read_document(file, "endpoints")
    rows = document["endpoints"] if isinstance(document, dict) and document.keys() == {"endpoints"} else document
    if not isinstance(rows, list):
        raise SettingsError(f"{file}: one key is expected, endpoints, with a list")
    try:
        endpoints = TypeAdapter(list[ProbedEndpoint]).validate_python([_named(row) for row in rows])
    except ValidationError as error:
        raise SettingsError(f"{file}: endpoints.{one_line(error, list[ProbedEndpoint])}") from None
    if not endpoints:
        raise SettingsError(f"{file}: endpoints is empty")
    return endpoints


def _named(row: Any) -> Any:
    """Return an entry with a name: its model's, if it has none."""
    named = not isinstance(row, dict) or "model" not in row or row.get("name")
    return row if named else {**row, "name": row["model"]}


async def _scan(endpoints: list[ProbedEndpoint]) -> list[Scanned]:
    from streams.models.capability_scan import scan as scan_one

    return list(await asyncio.gather(*(scan_one(endpoint) for endpoint in endpoints)))
