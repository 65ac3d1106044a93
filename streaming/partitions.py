"""Which partition a key belongs to: the same for every producer that keeps Kafka's own rule."""

from kafka.partitioner.default import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` under Kafka's default partitioner (murmur2, as the Java client)."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
