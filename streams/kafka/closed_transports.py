"""A connection that is closed under aiokafka counts as broken, whatever event loop it is on.

asyncio's own loop drops what is written to a closed transport; uvloop raises RuntimeError. aiokafka knows OSError only, so that error
ends whichever of its tasks was sending, for good: a consumer that fetches nothing any more, or a producer that fails
everything (aiokafka's issue 1038).
"""

from __future__ import annotations

import functools
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def count_as_broken() -> None:
    """Let every aiokafka client of this process raise KafkaConnectionError when it sends on a closed transport."""
    send = AIOKafkaConnection.send

    @functools.wraps(send)
    def send_if_open(self: AIOKafkaConnection, *args: Any, **kwargs: Any) -> Any:
        if self._writer is not None and self._writer.is_closing():
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"connection at {self.host}:{self.port} was closed")
        return send(self, *args, **kwargs)

    AIOKafkaConnection.send = send_if_open
