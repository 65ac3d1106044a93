"""Waiting on our side of the wire, for brokers that answer a fetch at once when there is nothing new.

Apache Kafka holds an empty fetch back for `fetch_max_wait_ms`; the local broker does not, and clients that trust it
to would
ask thousands of times a second. With a broker that waits itself, nothing here ever sleeps for long.
"""

import asyncio
import contextlib
import time
from typing import Any

import aiokafka.consumer.consumer
from aiokafka.consumer.fetcher import Fetcher
from kafka import KafkaConsumer

PAUSE_S = 0.02  # between two looks at an idle topic; what arrives waits so much longer at most


def paced_poll(consumer: KafkaConsumer, timeout_s: float) -> dict[Any, list[Any]]:
    """Whatever has arrived by partition, as soon as anything has; empty after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while True:
        batches: dict[Any, list[Any]] = consumer.poll(timeout_ms=0)
        left_s = until - time.monotonic()
        if batches or left_s <= 0:
            return batches
        time.sleep(min(PAUSE_S, left_s))


class PatientFetcher(Fetcher):  # type: ignore[misc] # aiokafka ships no types
    """aiokafka's fetcher, which after an empty answer lets `PAUSE_S` pass before it asks again."""

    async def _proc_fetch_request(self, *request: Any) -> bool:
        began = time.monotonic()
        has_data = bool(await super()._proc_fetch_request(*request))
        if not has_data:
            with contextlib.suppress(
                asyncio.CancelledError
            ):  # like the original, which answers a cancellation with False
                await asyncio.sleep(max(0.0, PAUSE_S - (time.monotonic() - began)))
        return has_data


def install_patient_fetcher() -> None:
    """Afterwards aiokafka consumers made in this process, faust's among them, fetch patiently.

    aiokafka offers no setting for it, and its version is pinned; the class is looked up where its consumer does.
    """
    aiokafka.consumer.consumer.Fetcher = PatientFetcher
