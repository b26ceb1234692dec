"""The list of Kafka users gives each role what its code reads and writes, and no more."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import schemas
from schemas import TOPICS, Message
from streams.agents.registry import AGENTS, READS, USES, WATCHERS, topics_of
from streams.cli.main import app
from streams.errors import SettingsError
from streams.kafka.acls import _OPERATIONS, _PATTERNS, _RESOURCES
from streams.kafka.rights import Acl, UserRights, acls_of, load_rights

ROOT = Path(__file__).parents[3]
FILE = ROOT / "deploy" / "kafka-rights.yaml"
RIGHTS = {each.user: each for each in load_rights(FILE)}
SENT = {name: topic.name for topic in TOPICS.values() for name, kind in vars(schemas).items() if kind is topic.message}


def definitions(module: str) -> dict[str, ast.stmt]:
    tree = ast.parse((ROOT / "streams" / "agents" / f"{module}.py").read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def written_by(module: str, *names: str) -> set[str]:
    """The topics of every message that these definitions of an agent's module make, or what they call in other modules."""
    path = ROOT / "streams" / "agents" / f"{module}.py"
    elsewhere = {
        alias.asname or alias.name: (node.module.removeprefix("streams.agents."), alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("streams.agents.")
        for alias in node.names
    }
    own = definitions(module)
    waiting, done, topics = [own[name] for name in names or own], set(), set()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if not isinstance(node, ast.Name) or node.id in done:
                continue
            done.add(node.id)
            if node.id in own:
                waiting.append(own[node.id])
            elif node.id in elsewhere:
                other, name = elsewhere[node.id]
                # A class of guards hands on what the others of its file make.
                others = () if isinstance(definitions(other).get(name), ast.ClassDef) else (name,)
                topics |= written_by(other, *others) if name in definitions(other) else set()
    for name in names or own:
        topics |= {
            SENT[node.func.id]
            for node in ast.walk(own[name])
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SENT
        }
    return topics | {topic for name in done & own.keys() - {*names} if names for topic in written_by(module, name)}


@pytest.mark.parametrize("agent", [*AGENTS, *WATCHERS])
def test_an_agents_use_of_topics_is_what_its_code_makes(agent: str) -> None:
    made = written_by(agent)
    if agent == "review":
        made -= {"verdicts", "routed"}  # a person's decision, which the command line sends
    assert USES[agent].writes == made | {"dead-letters"}


def test_an_agents_use_of_topics_is_what_it_subscribes_to() -> None:
    """score and escalate follow the alerts too; the watchers' topics are those of test_watching."""
    also = {"score": {"alerts"}, "escalate": {"alerts"}}
    assert {agent: set(USES[agent].reads) for agent in AGENTS} == {
        agent: {READS[agent]} | also.get(agent, set()) for agent in AGENTS
    }
    read = {agent: USES[agent].reads for agent in WATCHERS}
    assert read == {"drift": {"probes"}, "traffic": {"classifications"}, "cause": {"alerts"}}


@pytest.mark.parametrize("agent", AGENTS)
def test_the_user_of_an_agent_may_do_that_and_no_more(agent: str) -> None:
    user = RIGHTS[agent]
    decisions = {"verdicts", "routed"} if agent == "review" else set()
    assert set(user.read) == USES[agent].reads
    assert set(user.write) == USES[agent].writes | decisions
    assert user.groups == user.transactions == (agent,)
    assert not user.create


def test_the_watchers_share_a_user() -> None:
    user = RIGHTS["watcher"]
    assert set(user.read) == {topic for agent in WATCHERS for topic in USES[agent].reads}
    assert set(user.write) == {topic for agent in WATCHERS for topic in USES[agent].writes}
    assert set(user.groups) == set(WATCHERS)


def test_the_other_roles() -> None:
    assert RIGHTS["prober"] == UserRights(user="prober", read=("probes",), write=("probes",), groups=("prober",))
    assert RIGHTS["producer"] == UserRights(user="producer", write=("tickets",))
    assert RIGHTS["consumer"] == UserRights(user="consumer", read=("routed",), groups=("consumer",))
    assert RIGHTS["operator"] == UserRights(user="operator", read=tuple(TOPICS), write=("alerts",))
    assert RIGHTS["admin"] == UserRights(user="admin", create=tuple(TOPICS))


def test_topics_of_some_agents() -> None:
    assert topics_of(["review"]) == ["reviews", "dead-letters"]
    assert set(topics_of(AGENTS)) == TOPICS.keys() - {"verdicts", "probes"}


def test_entries_carry_the_prefix_and_read_as_a_command() -> None:
    users = [UserRights(user="ann", read=("routed",), groups=("g",), transactions=("t",), create=("probes",))]
    entries = list(acls_of(users, "p."))
    assert entries == [
        Acl("ann", "Read", "topic", "p.routed"),
        Acl("ann", "Create", "topic", "p.probes"),
        Acl("ann", "Describe", "topic", "p.probes"),
        Acl("ann", "Read", "group", "p.g"),
        Acl("ann", "Write", "transactional-id", "p.t", "prefixed"),
    ]
    assert entries[-1].command == (
        "--add --allow-principal User:ann --operation Write --transactional-id p.t --resource-pattern-type prefixed"
    )
    for entry in entries:
        assert entry.operation in _OPERATIONS
        assert entry.resource in _RESOURCES
        assert entry.pattern in _PATTERNS


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {user: ann, read: [nothing]}", "no topic nothing"),
        ("- {user: ann, reads: []}", "unknown key 0.reads"),
        ("- {user: 'a b'}", "user"),
        ("- {user: ann}\n- {user: ann}", "user ann is there twice"),
        ("user: ann", "tuple"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "rights.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        load_rights(file)


def test_every_message_has_a_topic_here() -> None:
    assert set(SENT.values()) == TOPICS.keys()
    assert all(issubclass(topic.message, Message) for topic in TOPICS.values())


def test_the_command_prints_one_line_for_each_right(tmp_path: Path) -> None:
    tier = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
    settings = {"labels": ["a", "b"], "tiers": {"cheap": tier, "big": tier}, "topics": {"prefix": "p."}}
    (tmp_path / "hedgerow.yaml").write_text(yaml.safe_dump(settings))
    done = CliRunner().invoke(app, ["topics", "acls", str(FILE), "--config", str(tmp_path / "hedgerow.yaml")])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert len(lines) == len(list(acls_of(RIGHTS.values(), "p.")))
    assert lines[0] == (
        "--add --allow-principal User:classify --operation Read --topic p.tickets --resource-pattern-type literal"
    )
