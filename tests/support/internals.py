"""What streams/delivery and streams/kafka rely on inside faust, mode and aiokafka, beyond what they document.

Each entry has a digest of the source that was read when the reliance began, for the versions in ``RECORDED_FOR``. A new version
that changes one of them may be fine: read the difference, then record the digest that ``differences`` reports.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.resources
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

RECORDED_FOR = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}


@dataclass(frozen=True, slots=True)
class Internal:
    """One piece of another package's source: ``module:attribute``, or ``package/file`` where it is compiled."""

    name: str
    digest: str
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One piece that is no longer what was recorded; ``found`` is its digest now."""

    internal: Internal
    kind: Literal["gone", "changed"]
    found: str | None


# fmt: off
INTERNALS: tuple[Internal, ...] = (
    Internal("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._create_worker_consumer", "b2aedc41f529",
             "makes the aiokafka consumer; we shorten its _fetch_max_wait_ms before it starts"),
    Internal("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread.on_start", "4aeef2aa3850",
             "starts the consumer only after that"),
    Internal("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._ensure_consumer", "095ceae9d9f8",
             "the aiokafka consumer, for commits, seeks and commits read back"),
    Internal("faust.transport.drivers.aiokafka:AIOKafkaConsumerThread._fetch_records", "3bba4838d660",
             "a fetch is whole batches per partition, and none while the flow is stopped"),
    Internal("faust.transport.drivers.aiokafka:ConsumerRebalanceListener", "97429e860b70",
             "the order of a rebalance: revoked, then the generation, then assigned"),
    Internal("faust.transport.drivers.aiokafka:Consumer", "a4ba1369f2e7",
             "what our Consumer extends; _new_consumer_thread is the place for ours"),
    Internal("faust.transport.consumer:Fetcher._fetcher", "b87e3cbe428a",
             "runs _drain_messages, which is ours"),
    Internal("faust.transport.consumer:Consumer._drain_messages", "9c390671364c",
             "the loop that ours replaces: how it stops"),
    Internal("faust.transport.consumer:Consumer.stop_flow", "c485d8931136",
             "flow_active and can_resume_flow say whether an assignment stands"),
    Internal("faust.transport.consumer:Consumer.resume_flow", "8e95b6b9beb3",
             "the same"),
    Internal("faust.transport.consumer:Consumer._get_active_partitions", "c33fabf56fe3",
             "the partitions to fetch"),
    Internal("faust.transport.consumer:Consumer.on_partitions_revoked", "bd3764db9fac",
             "calls the app, which calls wait_empty"),
    Internal("faust.transport.consumer:Consumer.on_partitions_assigned", "56b8bc41abaf",
             "calls the app, which ends in perform_seek"),
    Internal("faust.transport.consumer:Consumer.perform_seek", "215f418db893",
             "restoring is ours; nothing else is done there"),
    Internal("faust.transport.consumer:Consumer.wait_empty", "92b7c568343b",
             "waiting at a revocation is ours, and ends with a commit"),
    Internal("faust.transport.consumer:Consumer.on_stop", "36b5cd6c57bd",
             "stopping is ours, and ends with a commit"),
    Internal("faust.transport.consumer:Consumer.commit", "c45619870472",
             "one commit at a time, each through force_commit, which is ours"),
    Internal("faust.transport.consumer:Consumer.maybe_wait_for_commit_to_finish", "abc3b402b638",
             "a commit beside another one does nothing"),
    Internal("faust.transport.consumer:Consumer._commit_handler", "67d87d98b130",
             "the commit timer"),
    Internal("faust.transport.consumer:Consumer.verify_all_partitions_active", "82f84299c009",
             "calls verify_event_path, which is ours and does nothing"),
    Internal("faust.transport.consumer:ThreadDelegateConsumer", "56bec0cfb57f",
             "what goes through its _thread: _getmany, assignment, highwater, and the rebalance callbacks"),
    Internal("faust.app.base:App._on_partitions_revoked", "486d593d06ca",
             "stops the flow, clears the agents' queues, waits for wait_empty"),
    Internal("faust.app.base:App._on_partitions_assigned", "89431319ce10",
             "wakes the recovery service up"),
    Internal("faust.app.base:App._stop_consumer", "451262f22b4c",
             "stops the fetcher and waits for wait_empty"),
    Internal("faust.app.base:App.create_event", "751a5b853c3b",
             "one event is one batch"),
    Internal("faust.tables.recovery:Recovery._resume_streams", "adbc0855417c",
             "without tables: perform_seek, then resume_flow, then the fetcher runs"),
    Internal("faust.tables.recovery:Recovery._wait", "dea3ce77a0f6",
             "its timeout passes for the end of the service, so perform_seek has one of its own"),
    Internal("faust.transport.conductor:Conductor._update_indices", "34e55cb5f701",
             "_topic_name_index maps a topic to the channels that read it"),
    Internal("faust.channels:Channel.queue", "7d9647e5c789",
             "where a batch is put for the agent; cleared when the flow resumes"),
    Internal("faust.streams:Stream.noack", "8f52db5f222b",
             "an agent that acks nothing"),
    Internal("faust._cython/streams.pyx", "76932c4c3452",
             "an event of another generation, or while the flow is suspended, is dropped before the agent sees it"),
    Internal("mode.threads:QueueServiceThread.call_thread", "fe09ef82f3ce",
             "every call into the thread; ours does it at once"),
    Internal("mode.threads:ServiceThread.start", "1f6559da4b29",
             "begins the thread, which begins the service; ours begins the service"),
    Internal("mode.threads:ServiceThread.stop", "383804816981",
             "stops the service, and the thread where there is one"),
    Internal("mode.threads:ServiceThread._shutdown_thread", "4ae7d8180763",
             "what the thread does at its end, in ours the stop: on_thread_stop, and the word that it is over"),
    Internal("mode.threads:MethodQueue", "5ff1f3cb8986",
             "the callbacks of a rebalance: two calls at a time, begun in order"),
    Internal("aiokafka.conn:AIOKafkaConnection.send", "53a0f49dcce1",
             "writes with no await, and knows OSError only; ours asks first whether _writer is closing"),
    Internal("aiokafka.conn:AIOKafkaConnection.close", "cbacaa5e5cab",
             "ends what waits for an answer with KafkaConnectionError, and may be called again"),
    Internal("aiokafka.consumer.consumer:AIOKafkaConsumer.start", "3bed3c114a75",
             "gives _fetch_max_wait_ms to the fetcher"),
    Internal("aiokafka.consumer.consumer:AIOKafkaConsumer.commit", "18a75c089338",
             "takes metadata, refuses partitions that are not assigned"),
    Internal("aiokafka.consumer.consumer:AIOKafkaConsumer.stop", "690b2b1e3808",
             "leaves the group, ends the fetcher, closes _client, in this order"),
    Internal("aiokafka.consumer.fetcher:Fetcher.close", "abbca5d4c6fd",
             "ends _fetch_task, and lets the cancellation of its own fetches out"),
    Internal("aiokafka.consumer.consumer:AIOKafkaConsumer.seek_to_beginning", "ab6a88c891f0",
             "returns once the position is known, or the assignment gone"),
    Internal("aiokafka.consumer.fetcher:Fetcher.fetched_records", "141a604e9444",
             "waits for a new assignment and may return its records to a caller from before it"),
    Internal("aiokafka.consumer.fetcher:Fetcher.seek_to", "26b6a2231d9e",
             "drops what was fetched ahead"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator.check_errors", "b247bc96a51b",
             "of _coordinator: raises what keeps the consumer out of its group, and lets it try again"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator.commit_offsets", "ba9628e58ae0",
             "tries again without end, in the name of the generation of the moment"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator.fetch_committed_offsets", "cc6fcf19fb2d",
             "of _coordinator: what read_back does in another version of the request"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator._send_req", "2e44f55dbed5",
             "asks the coordinator; generation and member_id are those of the present assignment"),
    Internal("aiokafka.consumer.fetcher:FetchResult._update_position", "0ff4dbb086cb",
             "of _subscription: the _position of a partition goes past the markers of transactions"),
    Internal("aiokafka.consumer.fetcher:PartitionRecords._unpack_records", "fc80a82844ed",
             "by _isolation_level: leaves out what was aborted"),
    Internal("aiokafka.producer.transaction_manager:TransactionManager", "8b17e2338fd1",
             "of _txn_manager: id, epoch, and what makes a transaction empty"),
    Internal("aiokafka.producer.sender:Sender._find_coordinator", "d54b7cd17786",
             "of _sender: looks a coordinator up until it is found"),
    Internal("aiokafka.producer.sender:Sender._coordinator_dead", "7b91e51147df",
             "has it looked up again"),
    Internal("aiokafka.producer.sender:Sender._do_txn_commit", "f13f4fc2e3a1",
             "ends a transaction once everything that was sent in it is answered"),
    Internal("aiokafka.protocol.api:Request", "30322145223d",
             "picks the newest of our request versions that the broker has"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator._on_join_prepare", "5598fc45f521",
             "partitions stay assigned and may be committed until the revocation callback returns"),
    Internal("aiokafka.producer.producer:AIOKafkaProducer.stop", "d2a5d028ff2a",
             "waits for all batches of _message_accumulator, without end where the broker is away"),
    Internal("aiokafka.producer.message_accumulator:MessageAccumulator._pop_batch", "88bdd0ad273f",
             "numbers a batch once, so that a refused one leaves a gap"),
    Internal("aiokafka.producer.message_accumulator:MessageAccumulator.add_batch", "b5cd2a3d8934",
             "waits for its turn, and appends though the producer was _closed meanwhile"),
    Internal("aiokafka.producer.message_accumulator:MessageAccumulator.fail_all", "036795fb4511",
             "answers everybody who waits for a producer that is gone: in _pending_batches and _batches, also each _drain_waiter"),
    Internal("aiokafka.consumer.fetcher:Fetcher._update_fetch_positions", "1f34d685ce60",
             "asks _proc_offset_request of the same node again, whatever it answers"),
    Internal("aiokafka.consumer.group_coordinator:GroupCoordinator.close", "14d6942b0be2",
             "ends _heartbeat_task and _commit_refresh_task, if it comes that far"),
    Internal("aiokafka.producer.sender:Sender.close", "2f5ba268bcf9",
             "ends the task of _sender"),
    Internal("aiokafka.producer.sender:SendProduceReqHandler._can_retry", "60bcffef456e",
             "an idempotent producer never lets a batch expire"),
)
# fmt: on


def differences(internals: Iterable[Internal] = INTERNALS) -> list[Difference]:
    """Return what the installed versions have changed or lost; empty where all is as recorded."""
    found = [(internal, digest_of(internal.name)) for internal in internals]
    return [
        Difference(internal, "gone" if digest is None else "changed", digest)
        for internal, digest in found
        if digest != internal.digest
    ]


def digest_of(name: str) -> str | None:
    """Return the digest of one piece of installed source, white space aside; None where there is none."""
    try:
        source = _source(name)
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    return hashlib.blake2b(" ".join(source.split()).encode("utf-8"), digest_size=6).hexdigest()


def _source(name: str) -> str:
    module, colon, path = name.partition(":")
    if not colon:
        package, _, file = name.partition("/")
        return importlib.resources.files(package).joinpath(file).read_text(encoding="utf-8")
    found: Any = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    if isinstance(found, property):
        found = found.fget
    # A method that mode runs as a task of its service is wrapped in an object that keeps it as ``fun``.
    return inspect.getsource(inspect.unwrap(getattr(found, "fun", found)))
