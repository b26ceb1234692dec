"""hedgerow prompt: what a model is sent about a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.terminal import plain

if TYPE_CHECKING:
    from streams.settings import Settings

app = typer.Typer(help="What a model is sent about a ticket.", no_args_is_help=True)

_ANY_TICKET = "(the ticket's text)"


@app.command()
def show(
    config: Config = DEFAULT_CONFIG,
    ticket: Annotated[str, typer.Option(help="Text of a ticket; it is redacted as in a worker")] = _ANY_TICKET,
    as_json: AsJson = False,
) -> None:
    """Print exactly what the models are sent about a ticket; nothing is sent."""
    from streams.settings import load_settings

    settings = load_settings(config).under_policy()
    ticket = ticket.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    requests = _requests(settings, ticket)
    if as_json:
        print(orjson.dumps({"prompt_hash": settings.prompt.hash, "requests": requests}).decode())
        return
    print(f"prompt {settings.prompt.hash}")
    for message in settings.prompt.messages(ticket):
        print(f"--- {message['role']}\n{plain(message['content'])}")
    print("--- sent to")
    for request in requests:
        rest = {name: value for name, value in request["body"].items() if name != "messages"}
        print(plain(f"{request['to']:<10} {request['url']} {orjson.dumps(rest).decode()}"))


def _requests(settings: Settings, text: str) -> list[dict[str, Any]]:
    """Return each request with who gets it, its URL and its body."""
    from streams.core.signal.redaction import redact
    from streams.models.classifier import PATH, chat_request
    from streams.models.perplexity import PATHS, perplexity_request

    requests: list[dict[str, Any]] = [
        {
            "to": tier,
            "url": endpoint.base_url.rstrip("/") + PATH,
            "body": chat_request(endpoint, settings.prompt, text),
        }
        for tier, endpoint in (("cheap", settings.tiers.cheap), ("big", settings.tiers.big))
    ]
    if (measured := settings.perplexity) is not None:
        url = measured.endpoint.base_url.rstrip("/") + PATHS[measured.api]
        body = perplexity_request(measured, redact(text, settings.redact))
        requests.append({"to": "perplexity", "url": url, "body": body})
    return requests
