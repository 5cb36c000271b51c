"""What a server keeps of its UPSes, and what a bad disk makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from powmonman.core.outage import Outage, Supply
from powmonman.server import disk, memory
from powmonman.server.memory import Memory
from powmonman.service.clock import boottime

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Place:
    """A runtime and a state directory, and a memory in them."""

    def __init__(self, root: Path) -> None:
        self.volatile = root / "run" / "server-upses.json"
        self.durable = root / "state" / "server-upses.json"
        for path in (self.volatile, self.durable):
            path.parent.mkdir()
        self.memory = self.restart()

    def restart(self) -> Memory:
        return Memory(str(self.volatile.parent), str(self.durable.parent))

    def reboot(self) -> None:
        """Empty /run, and let what is on the disk be of an earlier boot."""
        self.volatile.unlink()
        kept = json.loads(self.durable.read_text("utf-8"))
        kept["boot_id"] = "another boot"
        self.durable.write_text(json.dumps(kept), encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(disk, "TIMEOUT", 0.2)
    return Place(tmp_path)


def running(play: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await play()

    asyncio.run(run())


def on_battery() -> Supply:
    now = boottime()
    return Supply(spent=90.0, outage=Outage("o1", now - 60), at=now)


def test_a_restart_goes_on_with_the_outage(place: Place) -> None:
    running(lambda: place.memory.keep({"ups": on_battery()}, changed=True))
    place.durable.unlink()
    recalled = place.restart().recall("ups", Supply())
    assert recalled.outage is not None
    assert recalled.outage.id == "o1"
    assert recalled.news(boottime()).spent == pytest.approx(90.0, abs=2)


def test_a_reboot_keeps_what_was_spent_and_not_the_outage(place: Place) -> None:
    running(lambda: place.memory.keep({"ups": on_battery()}, changed=True))
    place.reboot()
    recalled = place.restart().recall("ups", Supply())
    assert (recalled.outage, round(recalled.spent)) == (None, 90)


def test_the_disk_is_spared_while_nothing_happens(place: Place) -> None:
    async def play() -> None:
        await place.memory.keep({"ups": Supply(spent=5.0)}, changed=True)
        place.durable.unlink()
        for _ in range(10):
            await place.memory.keep({"ups": Supply(spent=4.0)}, changed=False)
        assert not place.durable.exists()
        assert place.volatile.exists()

    running(play)


def test_a_disk_that_takes_nothing_is_reported_and_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "DURABLE_EVERY", 0.0)
    caplog.set_level("INFO")

    async def play() -> None:
        place.durable.parent.rmdir()
        for _ in range(3):
            await place.memory.keep({"ups": Supply()}, changed=True)
        assert place.memory.faults == {str(place.durable): "No such file or directory"}
        place.durable.parent.mkdir()
        await place.memory.keep({"ups": Supply()}, changed=False)
        assert place.memory.faults == {}

    running(play)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{place.durable}: No such file or directory · an outage would be forgotten in a power cut",
        f"{place.durable} can be written again",
    ]


def test_a_disk_that_hangs_costs_its_time_once_a_change_and_keeps_the_newest(
    place: Place, hanging_disk: threading.Event
) -> None:
    async def play() -> None:
        began = time.monotonic()
        for spent in (1.0, 2.0, 3.0):
            await place.memory.keep({"ups": Supply(spent=spent)}, changed=True)
        # Each change would wait for ever.
        assert time.monotonic() - began < 10
        assert place.memory.faults == {str(place.durable): "not written within 0 s"}
        hanging_disk.set()
        await written(place, "3.0")
        assert place.memory.faults == {}

    running(play)
    assert json.loads(place.durable.read_text("utf-8"))["upses"]["ups"]["spent"] == 3.0


async def written(place: Place, what: str) -> None:
    for _ in range(500):
        kept = place.durable.read_text("utf-8") if place.durable.is_file() else ""
        if what in kept and not place.memory.faults:
            return
        await asyncio.sleep(0.01)
