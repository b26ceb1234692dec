"""The page of the topics: which message each carries, and every field of it."""

from __future__ import annotations

from pydantic import BaseModel

from reference.fields import field_table, nested_models
from reference.markdown import code, prose, table
from schemas import TOPICS, Topic
from streams.agents.registry import USES

_INTRODUCTION = """# Topics and messages

Names carry the prefix `topics.prefix`. Messages are JSON in UTF-8; a reader ignores fields that it does not know. The JSON Schema
of each message is linked below. Who else reads and writes a topic: `topology.md`.
"""


def page() -> str:
    """Return the page: the topics, then what the messages hold."""
    parts = [_INTRODUCTION, *(_topic(topic) for topic in TOPICS.values()), "## Parts of messages"]
    for model in parts_of_messages():
        parts += [f"### {model.__name__} {{#{model.__name__}}}", prose(model.__doc__), field_table(model)]
    return "\n\n".join(parts)


def _topic(topic: Topic) -> str:
    message = topic.message
    facts = [
        ("key", code(topic.key)),
        ("message", code(message.__name__)),
        ("written by the agents", _agents(topic, "writes")),
        ("read by the agents", _agents(topic, "reads")),
        ("broker settings", ", ".join(code(f"{name}={value}") for name, value in topic.config.items()) or "none"),
        ("JSON Schema", f"[{schema_name(topic)}](schemas/{schema_name(topic)})"),
    ]
    heading = f"## {code(topic.name)} {{#{message.__name__}}}"
    return "\n\n".join([heading, prose(message.__doc__), table(("", ""), facts), field_table(message)])


def schema_name(topic: Topic) -> str:
    """Return the file name of a topic's JSON Schema."""
    return f"{topic.name}.v{topic.message.VERSION}.json"


def _agents(topic: Topic, use: str) -> str:
    return ", ".join(code(agent) for agent, topics in USES.items() if topic.name in getattr(topics, use)) or "none"


def parts_of_messages() -> list[type[BaseModel]]:
    """Return the models that messages are made of, each once, in the order in which they are met."""
    messages = [topic.message for topic in TOPICS.values()]
    found: list[type[BaseModel]] = []
    waiting: list[type[BaseModel]] = list(messages)
    while waiting:
        model = waiting.pop(0)
        if model not in messages and model not in found:
            found.append(model)
        nested = [each for field in model.model_fields.values() for each in nested_models(field.annotation)]
        waiting += [each for each in nested if each not in found and each not in messages]
    return found
