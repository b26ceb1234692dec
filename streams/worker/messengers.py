"""Builds the stages that tell people elsewhere: notify and announce."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from schemas import TOPICS, Review, bytes_of
from streams.agents.announce import AnnounceHandler, Arrived
from streams.agents.notify import NotifyHandler
from streams.agents.registry import USES, AgentName
from streams.delivery.known_messages import KnownMessages
from streams.delivery.stage import AsyncHandler, Record, Stage, SyncHandler
from streams.errors import SettingsError
from streams.kafka.history import history
from streams.settings import Settings
from streams.webhooks.announcer import Announcer
from streams.webhooks.sender import WebhookSender

#: Alerts that are posted at once; the rest of a burst waits its turn.
_IN_FLIGHT = 8


async def messenger(
    agent: AgentName,
    settings: Settings,
    stack: AsyncExitStack,
    sent: Callable[[str, str], None],
    wall_ms: Callable[[], int],
) -> Stage:
    """Return the stage of notify or announce; ``sent`` is called with each webhook's name and what came of a message.

    Raises SettingsError if there is no webhook for it, or one has no URL or no secret.
    """
    about = "alerts" if agent == "notify" else "reviews"
    webhooks = [webhook for webhook in settings.webhooks if about in webhook.about]
    if not webhooks:
        raise SettingsError(f"agent {agent}: no webhook is about {about}; see webhooks in docs/webhooks.md")
    senders = [await stack.enter_async_context(WebhookSender(webhook, sent)) for webhook in webhooks]
    handler: AsyncHandler | SyncHandler
    if agent == "notify":
        handler = NotifyHandler([sender.send for sender in senders], wall_ms)
    else:
        announcers = [Announcer(sender.send, sender.webhook.every_s, wall_ms=wall_ms) for sender in senders]
        for announcer in announcers:
            await stack.enter_async_context(announcer.running())
        handler = AnnounceHandler([announcer.add for announcer in announcers], wall_ms)
    topic = TOPICS[USES[agent].reads]
    if agent == "announce":
        return Stage(agent, topic, handler, once=False, read=arrived)
    known = KnownMessages(topic, partial(history, settings.broker.connection), lambda told: bytes_of(told.alert_id))
    return Stage(
        agent, topic, handler, in_flight=_IN_FLIGHT, read=known.read, memory=known, finished=known, id_of=known.id_of
    )


def arrived(record: Record) -> Arrived:
    """Return a review with its record's time; raises InvalidMessage as its decoding does."""
    return Arrived(Review.decode(record.value), record.timestamp)
