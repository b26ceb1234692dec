"""Which key a row is sent under."""

from __future__ import annotations

import pytest

from streams.kafka.produce import ticket_id_of


@pytest.mark.parametrize(
    ("line", "ticket_id"),
    [
        (b'{"ticket_id": "a", "text": ""}', "a"),
        (b'{"ticket_id": "caf\xc3\xa9"}', "caf\u00e9"),
        (b'{"ticket_id": "' + b"i" * 300 + b'"}', "i" * 300),
        (b'{"ticket_id": ""}', None),
        (b'{"ticket_id": 7}', None),
        (b'{"ticket_id": "\\ud800"}', None),
        (b'{"text": "x"}', None),
        (b'["ticket_id"]', None),
        (b"no JSON", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_is_the_tickets_id_where_one_can_be_read(line: bytes, ticket_id: str | None) -> None:
    assert ticket_id_of(line) == ticket_id
