"""The list of Kafka users gives each role what its code reads and writes, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.testing import CliRunner

from schemas import TOPICS
from streams.agents.registry import AGENTS, FLEET_TOPIC, KEEPERS, MESSENGERS, USES, WATCHERS, AgentName
from streams.cli.main import app
from streams.errors import SettingsError
from streams.kafka.acls import _OPERATIONS, _PATTERNS, _RESOURCES
from streams.kafka.rights import Acl, UserRights, acls_of, load_rights

ROOT = Path(__file__).parents[3]
FILE = ROOT / "deploy" / "kafka-rights.yaml"
RIGHTS = {each.user: each for each in load_rights(FILE)}


@pytest.mark.parametrize("agent", AGENTS)
def test_the_user_of_an_agent_may_do_that_and_no_more(agent: str) -> None:
    user = RIGHTS[agent]
    # The review store's processes run settle too.
    agents = (agent, *(KEEPERS if agent == "review" else ()))
    decisions = {"verdicts", "routed"} if agent == "review" else set()
    # The texts of results that a reviewer corrects, and what another sender has sent.
    looked_at = {"tickets", "verdicts"} if agent == "review" else set()
    assert set(user.read) == {topic for each in agents for topic in USES[each].readable} | looked_at
    assert set(user.write) == {topic for each in agents for topic in USES[each].writes} | decisions
    assert user.groups == user.transactions == agents
    assert not user.create


@pytest.mark.parametrize(("name", "agents"), [("watcher", WATCHERS), ("notifier", MESSENGERS)])
def test_agents_of_one_kind_share_a_user(name: str, agents: tuple[AgentName, ...]) -> None:
    user = RIGHTS[name]
    assert set(user.read) == {topic for agent in agents for topic in USES[agent].readable}
    assert set(user.write) == {topic for agent in agents for topic in USES[agent].writes}
    assert set(user.groups) == set(user.transactions) == set(agents)


def test_every_agent_and_every_topic_has_its_users() -> None:
    grouped = {group for user in RIGHTS.values() for group in user.groups}
    assert grouped - {"prober", "consumer"} == set(get_args(AgentName))
    used = {topic for agent in get_args(AgentName) for topic in USES[agent].readable | USES[agent].writes}
    assert used | {"verdicts"} == set(TOPICS), "decisions alone are no agent's"


def test_the_other_roles() -> None:
    assert RIGHTS["prober"] == UserRights(user="prober", read=("probes",), write=("probes",), groups=("prober",))
    assert RIGHTS["producer"] == UserRights(user="producer", write=("tickets",))
    assert RIGHTS["consumer"] == UserRights(user="consumer", read=("routed",), groups=("consumer",))
    operator = RIGHTS["operator"]
    assert operator.read == tuple(TOPICS)
    # A dead letter's message goes back to the topic that an agent read it from; nothing does to what workers tell one another.
    readable = {topic for agent in AGENTS + KEEPERS + WATCHERS for topic in USES[agent].readable} - {FLEET_TOPIC}
    assert set(operator.write) == readable | {"dead-letters"}
    # hedgerow doctor tries whether the broker has transactions; dead-letters redrive uses them.
    assert operator.transactions == ("doctor", "dead-letters")
    assert not operator.groups
    # hedgerow forget looks whether the agents have handled the ticket, and how long topics are kept.
    assert operator.progress == AGENTS + KEEPERS
    assert operator.keeping == tuple(TOPICS)
    assert RIGHTS["admin"] == UserRights(user="admin", create=tuple(TOPICS))


def test_entries_carry_the_prefix_and_read_as_a_command() -> None:
    users = [
        UserRights(
            user="ann",
            read=("routed",),
            groups=("g",),
            progress=("h",),
            keeping=("tickets",),
            transactions=("t",),
            create=("probes",),
        )
    ]
    entries = list(acls_of(users, "p."))
    assert entries == [
        Acl("ann", "Read", "topic", "p.routed"),
        Acl("ann", "Create", "topic", "p.probes"),
        Acl("ann", "Describe", "topic", "p.probes"),
        Acl("ann", "DescribeConfigs", "topic", "p.probes"),
        Acl("ann", "AlterConfigs", "topic", "p.probes"),
        Acl("ann", "DescribeConfigs", "topic", "p.tickets"),
        Acl("ann", "Read", "group", "p.g"),
        Acl("ann", "Describe", "group", "p.h"),
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
        ("- {user: ann, reads: []}", "unknown key 0.reads; did you mean read"),
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
