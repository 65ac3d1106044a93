"""The deployment's topics: created with explicit partitions, checked before anything reads or writes them."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from ..core.errors import ConfigError, Unavailable
from ..core.event import SOURCE_TYPES, Topic
from .config import StreamingConfig
from .connection import require_broker

SETTLE_S = 10.0  # brokers learn of a created topic one after another
# Stops and dead letters are read whole and in one order by everybody; decisions are a log to be shipped elsewhere.
SINGLE = (Topic.STOPS, Topic.DECISIONS, Topic.DEAD_LETTERS)


def partitions(topic: Topic, config: StreamingConfig) -> int:
    """How many partitions a topic has."""
    return 1 if topic in SINGLE else config.shards


def ensure_topics(config: StreamingConfig) -> dict[str, int]:
    """Partition counts by name, after all topics exist; ConfigError if one exists with another count."""
    require_broker(config.bootstrap, config.connect_timeout_ms)
    with _admin(config) as admin:
        for topic in Topic:
            new = NewTopic(
                config.topic(topic),
                num_partitions=partitions(topic, config),
                replication_factor=config.replication,
                topic_configs=_settings(topic, config),
            )
            try:
                admin.create_topics([new], timeout_ms=10_000)
            except TopicAlreadyExistsError:
                continue
            except KafkaError as error:
                raise Unavailable(f"cannot create the topic {config.topic(topic)}: {error}") from error
        found = _described(admin, config)
        deadline = time.monotonic() + SETTLE_S
        while len(found) < len(Topic) and time.monotonic() < deadline:
            time.sleep(0.1)
            found = _described(admin, config)
    _require_counts(found, config)
    return found


def require_topics(config: StreamingConfig) -> None:
    """Returns when every topic exists with the configured partitions; ConfigError says what to do otherwise."""
    require_broker(config.bootstrap, config.connect_timeout_ms)
    with _admin(config) as admin:
        found = _described(admin, config)
    _require_counts(found, config)


def _require_counts(found: Mapping[str, int], config: StreamingConfig) -> None:
    for topic in Topic:
        name, wanted = config.topic(topic), partitions(topic, config)
        if name not in found:
            raise ConfigError(f"the topic {name} does not exist; create all with `adgram topics`")
        if found[name] != wanted:
            shards = found[config.topic(Topic.ITEMS)] if topic in SOURCE_TYPES or topic is Topic.COMMITS else wanted
            raise ConfigError(
                f"the topic {name} has {found[name]} partitions, {wanted} are configured; "
                f"use --shards {shards} or another --prefix"
            )


def _settings(topic: Topic, config: StreamingConfig) -> dict[str, str]:
    if topic is Topic.STOPS:  # a stop holds until it is lifted, however long ago it was said
        return {"cleanup.policy": "compact"}
    if topic is Topic.COMMITS:
        return {"retention.ms": str(config.retention_ms), "max.message.bytes": "1048588"}
    if topic is Topic.DEAD_LETTERS:  # a letter is a record of up to 1 MB with its headers around it
        return {"retention.ms": str(config.retention_ms), "max.message.bytes": "2097152"}
    return {"retention.ms": str(config.retention_ms)}


def _described(admin: KafkaAdminClient, config: StreamingConfig) -> dict[str, int]:
    names = [config.topic(topic) for topic in Topic]
    try:
        known = set(admin.list_topics())
        described = admin.describe_topics([name for name in names if name in known])
    except KafkaError as error:
        raise Unavailable(f"cannot read the topics of {config.bootstrap}: {error}") from error
    return {entry["name"]: len(entry["partitions"]) for entry in described}


@contextmanager
def _admin(config: StreamingConfig) -> Iterator[KafkaAdminClient]:
    try:
        admin = KafkaAdminClient(bootstrap_servers=config.bootstrap, bootstrap_timeout_ms=config.connect_timeout_ms)
    except KafkaError as error:
        raise Unavailable(f"no Kafka broker answers at {config.bootstrap}: {error}") from error
    try:
        yield admin
    finally:
        admin.close()
