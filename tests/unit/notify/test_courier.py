"""Events on their way to targets that are dead, slow, gone or well; the sending is a stand-in."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.config.notify_keys import Events
from powmonman.core.events import Event, Kind
from powmonman.notify import courier as courier_module
from powmonman.notify.courier import Courier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from postoffice import Settings

PATIENCE = 30.0
# Does what the file named like its target says, and writes down what it was given.
STAND_IN = """
import json, pathlib, sys, time
here = pathlib.Path(sys.argv[1])
job = json.load(sys.stdin)["job"]
target = job["target"]
for sending in job["sendings"]:
    message = sending["message"]
    does = (here / f"{target}.does").read_text()
    entry = {
        "target": target,
        "hosts": [event["host"] for event in message["events"]],
        "more": message["more"],
        "late": sending["late"],
        "age": sending["age"],
        "dropped": job["dropped"],
        "does": does,
        "at": time.monotonic(),
    }
    with open(here / "log", "a") as log:
        log.write(json.dumps(entry) + "\\n")
    if does == "slow":
        time.sleep(1)
        does = "ok"
    if does == "hang":
        time.sleep(600)
    if does == "crash":
        sys.exit("Traceback: mailtos://pi:hunter2@h went wrong")
    result = {"number": message["number"], "sent": does == "ok", "title": "a title"}
    if does == "gone":
        result["gone"] = True
    elif does != "ok":
        result["reason"] = does
    print("some noise")
    print(json.dumps(result), flush=True)
    if does != "ok":
        break
"""


class Stand:
    """A courier with the stand-in, and what that was given."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.place = settings.file.parent
        (self.place / "stand_in.py").write_text(STAND_IN)
        self.program = [sys.executable, "-S", str(self.place / "stand_in.py"), str(self.place)]
        monkeypatch.setattr(courier_module, "FIRST_PAUSE", 0.05)
        monkeypatch.setattr(courier_module, "LONGEST_PAUSE", 0.2)
        self.changes: dict[str, Any] = {}

    def does(self, **targets: str) -> None:
        """Make these the targets, and say what becomes of what they are sent."""
        for name, what in targets.items():
            (self.place / f"{name}.does").write_text(what)
        self.settings.targets(dict.fromkeys(targets, "json://127.0.0.1"))

    def courier(self, **changes: Any) -> Courier:
        self.changes = changes
        config = self.settings.config(**changes)
        return Courier(config, self.settings.spool, program=self.program)

    @property
    def log(self) -> list[dict[str, Any]]:
        path = self.place / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def sent(self, target: str = "mail") -> list[str]:
        """Return the hosts in the messages that `target` took."""
        entries = (entry for entry in self.log if entry["target"] == target)
        return [host for entry in entries if entry["does"] == "ok" for host in entry["hosts"]]


@pytest.fixture
def stand(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(settings, monkeypatch)


@asynccontextmanager
async def running(courier: Courier) -> AsyncIterator[Courier]:
    task = asyncio.create_task(courier.run())
    await asyncio.sleep(0)
    try:
        yield courier
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(what: str, check: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        await asyncio.sleep(0.01)


def down(*hosts: str) -> list[Event]:
    return [Event(Kind.HOST_DOWN, host=host, at=time.time()) for host in hosts]


def test_a_message_reaches_every_target_once(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok", ntfy="ok")
        async with running(stand.courier()) as courier:
            courier.tell(down("nas"))
            await until("it is sent", lambda: not len(courier.spool))
            assert ["nas"] == stand.sent() == stand.sent("ntfy")
            assert [] == courier.faults

    asyncio.run(story())


def test_events_in_a_short_time_make_one_message(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        async with running(stand.courier(coalesce=1.5)) as courier:
            for host in ("a", "b", "c"):
                courier.tell(down(host))
                await asyncio.sleep(0.01)
            await until("it is sent", lambda: not len(courier.spool))
            assert [["a", "b", "c"]] == [entry["hosts"] for entry in stand.log]
            courier.tell(down("d"))
            await until("it is sent", lambda: not len(courier.spool))
            assert ["d"] == stand.log[-1]["hosts"]

    asyncio.run(story())


def test_a_burst_makes_one_message_of_bounded_size(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        async with running(stand.courier(coalesce=0.5)) as courier:
            for number in range(200):
                courier.tell(down(f"h{number}"))
            await until("it is sent", lambda: not len(courier.spool))
            (entry,) = stand.log
            assert (50, 150) == (len(entry["hosts"]), entry["more"])

    asyncio.run(story())


def test_a_dead_target_gets_all_of_it_later_in_order_and_marked_late(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="connection refused")
        async with running(stand.courier(coalesce=0, late_after=1)) as courier:
            for host in ("a", "b", "c"):
                courier.tell(down(host))
            await until("it has failed twice", lambda: len(stand.log) >= 2)
            (fault,) = courier.faults
            assert fault.startswith("notify: mail: not delivered since ")
            assert fault.endswith(": connection refused; 3 waiting")
            await asyncio.sleep(1)
            stand.does(mail="ok")
            await until("all is sent", lambda: not len(courier.spool))
            assert ["a", "b", "c"] == stand.sent()
            assert [True] * 3 == [entry["late"] for entry in stand.log[-3:]]
            assert 1 <= stand.log[-1]["age"] < PATIENCE
            await until("the fault is gone", lambda: not courier.faults)

    asyncio.run(story())


def test_a_target_that_fails_is_tried_more_and_more_rarely(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(courier_module, "LONGEST_PAUSE", 0.8)

    async def story() -> None:
        stand.does(mail="no")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("it has failed", lambda: len(stand.log) >= 5)
        times = [entry["at"] for entry in stand.log]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        for least, gap in zip([0.2, 0.4, 0.8, 0.8], gaps, strict=False):
            assert least <= gap < least + PATIENCE

    asyncio.run(story())


def test_a_dead_and_a_hanging_target_hold_up_nobody_else(stand: Stand) -> None:
    async def story() -> None:
        stand.does(dead="no", hanging="hang", mail="ok")
        async with running(stand.courier(coalesce=0, timeout=300)) as courier:
            for host in ("a", "b", "c"):
                courier.tell(down(host))
                await until(f"{host} is sent", lambda host=host: host in stand.sent())
            assert ["a", "b", "c"] == stand.sent()
            assert ["mail"] != courier.spool.targets()

    asyncio.run(story())


def test_what_hangs_is_killed_when_its_time_is_up(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="hang")
        async with running(stand.courier(coalesce=0, timeout=1)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            assert "no answer within 1 s; 1 waiting" in courier.faults[0]
            stand.does(mail="ok")
            await until("it is sent", lambda: not len(courier.spool))

    asyncio.run(story())


def test_a_process_that_crashes_is_a_fault_without_its_secrets(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        stand.does(mail="crash")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            told = "the delivery ended with exit code 1: Traceback: mailtos://*** went wrong"
            assert told in courier.faults[0]
            assert told in caplog.text
            assert "hunter2" not in caplog.text

    asyncio.run(story())


def test_a_program_that_is_missing_is_a_fault(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        stand.program = ["/no/such/program"]
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            assert "can't be started: No such file or directory" in courier.faults[0]

    asyncio.run(story())


def test_what_waits_is_sent_by_the_next_process(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="no", ntfy="ok")
        async with running(stand.courier(coalesce=0)) as courier:
            for host in ("a", "b"):
                courier.tell(down(host))
            await until("one target has it", lambda: stand.sent("ntfy") == ["a", "b"])
            await until("the other has not", lambda: courier.faults)
            await until("that is noted", lambda: courier.spool.targets() == ["mail"])
        stand.does(mail="ok", ntfy="ok")
        async with running(stand.courier(coalesce=0)) as courier:
            await until("the rest is sent", lambda: not len(courier.spool))
        assert ["a", "b"] == stand.sent() == stand.sent("ntfy")

    asyncio.run(story())


def test_what_was_told_right_before_the_end_is_on_disk(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        async with running(stand.courier(coalesce=60)) as courier:
            courier.tell(down("a"))
        assert [] == stand.log
        async with running(stand.courier(coalesce=0)) as courier:
            await until("it is sent", lambda: not len(courier.spool))
        assert ["a"] == stand.sent()

    asyncio.run(story())


def test_it_ends_quickly_whatever_hangs(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="hang")
        async with running(stand.courier(coalesce=0, timeout=300)) as courier:
            courier.tell(down("a"))
            await until("it hangs", lambda: stand.log)
            began = time.monotonic()
        assert time.monotonic() - began < 15

    asyncio.run(story())


def test_what_is_just_being_sent_is_let_finish_and_not_sent_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is.
    monkeypatch.setattr(courier_module, "CLOSING", PATIENCE)

    async def story() -> None:
        stand.does(mail="slow")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("it is being sent", lambda: stand.log)
        assert 0 == len(stand.courier().spool)

    asyncio.run(story())


def test_without_its_file_it_waits_and_says_so(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        stand.settings.file.unlink()
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            assert "notify.yml: can't be opened: No such file" in courier.faults[0]
            assert courier.faults[0].endswith("; 1 waiting")
            await asyncio.sleep(0.3)
            courier.tell(down("b"))
            stand.does(mail="ok")
            await until("it is sent", lambda: not len(courier.spool))
            assert ["a", "b"] == stand.sent()
            await until("the fault is gone", lambda: not courier.faults)
        assert 1 == caplog.text.count("nobody is notified")

    asyncio.run(story())


def test_a_target_that_was_removed_is_waited_for_no_longer(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="no")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            stand.does(mail="gone")
            await until("nothing waits", lambda: not len(courier.spool))
            assert [] == courier.faults

    asyncio.run(story())


def test_a_reload_takes_effect_at_once(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its next try in five minutes is tried with the new configuration now."""
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 300.0)
    monkeypatch.setattr(courier_module, "LONGEST_PAUSE", 300.0)

    async def story() -> None:
        stand.does(mail="no")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            stand.does(mail="ok")
            courier.reconfigure(stand.settings.config(coalesce=0))
            await until("it is sent", lambda: not len(courier.spool))

    asyncio.run(story())


def test_what_is_switched_off_is_not_told(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        events = Events(host_down=False)
        async with running(stand.courier(events=events)) as courier:
            courier.tell(down("a"))
            assert 0 == len(courier.spool)
        courier = stand.courier(enabled=False)
        courier.tell(down("a"))
        assert 0 == len(courier.spool)

    asyncio.run(story())


def test_where_nothing_waits_nothing_wakes_up(stand: Stand) -> None:
    async def story() -> None:
        stand.does(mail="ok")
        async with running(stand.courier(coalesce=0)) as courier:
            courier.tell(down("a"))
            await until("it is sent", lambda: not len(courier.spool))
            loop = asyncio.get_running_loop()
            due = loop._scheduled  # type: ignore[attr-defined]
            await until("nothing is due", lambda: all(each._cancelled for each in due))

    asyncio.run(story())


def test_when_there_is_no_room_the_oldest_give_way_and_the_next_says_so(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is being sent while the others come.
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 300.0)
    monkeypatch.setattr(courier_module, "LONGEST_PAUSE", 300.0)

    async def story() -> None:
        stand.does(mail="no")
        async with running(stand.courier(coalesce=0, keep=2)) as courier:
            courier.tell(down("a"))
            await until("the fault", lambda: courier.faults)
            for host in "bcd":
                courier.tell(down(host))
            stand.does(mail="ok")
            courier.reconfigure(stand.settings.config(coalesce=0, keep=2))
            await until("it is sent", lambda: not len(courier.spool))
            assert ["c", "d"] == stand.sent()
            assert 2 == stand.log[-1]["dropped"]
            courier.tell(down("e"))
            await until("it is sent", lambda: stand.sent()[-1:] == ["e"])
            assert 0 == stand.log[-1]["dropped"]

    asyncio.run(story())
