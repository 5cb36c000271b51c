"""Tries are spaced out, and the log is not flooded."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from powmonman.core.power import Reading
from powmonman.sensors.retry import Retry, SensorError

if TYPE_CHECKING:
    from collections.abc import Callable


class Source:
    """What a sensor reads from, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fault: SensorError | None = None
        self.looks = 0
        self.retry = Retry("the UPS", lambda: self.now)

    async def look(self) -> Reading:
        self.looks += 1
        if self.fault:
            raise self.fault
        return Reading(mains=True)

    def read(self) -> Reading:
        return asyncio.run(self.retry.attempt(self.look))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.DEBUG, logger="powmonman.sensors")
    return lambda: [(record.levelname, record.message) for record in caplog.records]


def test_tries_come_after_1_2_4_8_and_then_every_10_seconds(source: Source) -> None:
    source.fault = SensorError("gone; bring it back")
    tries = []
    for tenths in range(450):
        source.now = 100 + tenths / 10
        before = source.looks
        assert source.read().reason == "the UPS: gone; bring it back"
        if source.looks > before:
            tries.append(tenths / 10)
    assert tries == [0, 1, 3, 7, 15, 25, 35]


def test_a_server_that_answers_is_asked_at_every_poll(source: Source) -> None:
    source.fault = SensorError("it knows nothing; tell it", answered=True)
    for _ in range(3):
        assert source.read().mains is None
    assert source.looks == 3


def test_after_a_success_the_next_fault_is_tried_again_soon(source: Source) -> None:
    for _ in range(3):
        source.fault = SensorError("gone; bring it back")
        source.read()
        source.now += 1.0
        source.fault = None
        assert source.read().mains is True


def test_a_fault_is_told_once_and_so_is_its_end(
    source: Source, told: Callable[[], list[tuple[str, str]]]
) -> None:
    source.fault = SensorError("gone; bring it back")
    for _ in range(100):
        source.now += 1
        source.read()
    source.fault = None
    for _ in range(100):
        source.now += 1
        source.read()
    assert told() == [
        ("WARNING", "the UPS: gone; bring it back"),
        ("INFO", "the UPS can be read again"),
    ]


def test_another_fault_is_told_too(
    source: Source, told: Callable[[], list[tuple[str, str]]]
) -> None:
    for text in ("gone; bring it back", "mute; shake it"):
        source.fault = SensorError(text)
        source.now += 10
        source.read()
    assert [text for _, text in told()] == [
        "the UPS: gone; bring it back",
        "the UPS: mute; shake it",
    ]
