"""What the server has to do with it: one object that never raises and costs next to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from postoffice import wait_for

from powmonman import notify
from powmonman.config.schema import ServerConfig
from powmonman.core.events import Event, HostSeen, Kind, Seen, UpsSeen
from powmonman.core.power import PowerState
from powmonman.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from postoffice import Mailbox, Settings

ON_MAINS, ON_BATTERY, UNKNOWN = PowerState
NAS = HostSeen("nas", connected=True, phase="idle", boot_id="b1", after=600.0)
GOOD = Seen({"rack": UpsSeen(ON_MAINS)}, (NAS,))
LOST = Seen({"rack": UpsSeen(ON_BATTERY, outage="o1", charge=87.0, voltage=12.9)}, (NAS,))


def config(settings: Settings, **changes: Any) -> ServerConfig:
    state = settings.spool.parent
    return ServerConfig(
        fleet="home", state_dir=str(state), notify=settings.config(coalesce=0, **changes)
    )


@asynccontextmanager
async def running(notifier: Notifier) -> AsyncIterator[Notifier]:
    task = asyncio.create_task(notifier.run())
    await asyncio.sleep(0)
    try:
        yield notifier
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: str, check: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, check, 60.0)


def test_an_outage_is_mailed_across_a_restart_of_the_server(
    settings: Settings, mailbox: Mailbox
) -> None:
    """The original's mails: at the start with charge and voltage, and at the return."""
    settings.targets({"mail": mailbox.url()})

    async def story() -> None:
        async with running(Notifier(config(settings))) as notifier:
            notifier.observe(GOOD)
            notifier.observe(LOST)
            notifier.observe(LOST)
            await until("the first mail", lambda: not len(notifier._courier.spool))
            assert [] == notifier.faults
        async with running(Notifier(config(settings))) as notifier:
            unknown = UpsSeen(UNKNOWN, outage="o1", age=30.0)
            notifier.observe(Seen({"rack": unknown}, (NAS,)))
            notifier.observe(LOST)
            notifier.observe(GOOD)
            await until("the second mail", lambda: len(mailbox.mails) > 1)
        assert ["Power lost: rack", "Power back: rack"] == mailbox.subjects
        assert "(charge 87 %, 12.9 V). nas shuts down in 10 min, unless" in mailbox.text(0)

    asyncio.run(story())


def test_it_is_no_burden_where_it_is_off(settings: Settings) -> None:
    notifier = Notifier(config(settings, enabled=False))
    notifier.observe(LOST)
    assert not notifier.enabled
    assert [] == notifier.faults
    assert not settings.spool.exists()


def test_an_outage_that_nobody_was_to_be_told_of_is_not_told_to_be_over(
    settings: Settings, mailbox: Mailbox
) -> None:
    settings.targets({"mail": mailbox.url()})

    async def story() -> None:
        async with running(Notifier(config(settings))) as notifier:
            notifier.observe(LOST)
            await until("the mail", lambda: not len(notifier._courier.spool))
            notifier.reconfigure(config(settings, enabled=False))
            notifier.observe(LOST)
            notifier.reconfigure(config(settings))
            notifier.observe(GOOD)
            assert 0 == len(notifier._courier.spool)

    asyncio.run(story())


def test_what_breaks_in_it_is_a_fault_and_never_raised(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(notify, "look", broken)
    notifier = Notifier(config(settings))
    notifier.observe(GOOD)
    notifier.observe(GOOD)
    assert ["notify: RuntimeError: a bug"] == notifier.faults
    assert 1 == caplog.text.count("notifications are broken")


def test_a_courier_that_breaks_is_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "AFTER_A_FAULT", 0.01)
    notifier = Notifier(config(settings))
    runs = []

    async def broken() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("a bug")
        await asyncio.Event().wait()

    monkeypatch.setattr(notifier._courier, "run", broken)

    async def story() -> None:
        async with running(notifier):
            await until("it runs again", lambda: len(runs) == 3)

    asyncio.run(story())
    assert 1 == caplog.text.count("notifications are broken")


@pytest.mark.parametrize("content", ["{", '{"upses": 1}', '{"hosts": {"nas": {"met": "x"}}}'])
def test_a_spoilt_memory_is_none(settings: Settings, content: str) -> None:
    settings.spool.mkdir(parents=True)
    (settings.spool / "told.json").write_text(content)
    notifier = Notifier(config(settings))
    notifier.observe(GOOD)
    assert [] == notifier.faults
    notifier._courier.spool.settle(10)


def test_a_look_at_a_large_fleet_takes_little_time(settings: Settings) -> None:
    hosts = tuple(
        HostSeen(f"h{number}", connected=True, phase="idle", boot_id="b", after=600.0)
        for number in range(200)
    )
    notifier = Notifier(config(settings))
    seen = Seen({"rack": UpsSeen(ON_MAINS)}, hosts)
    notifier.observe(seen)
    began = time.process_time()
    for _ in range(20):
        notifier.observe(seen)
    assert (time.process_time() - began) / 20 < 0.05
    notifier._courier.spool.settle(10)


def test_the_server_imports_neither_apprise_nor_jinja() -> None:
    script = (
        "import sys, powmonman.notify; "
        "print(*(m for m in ('apprise', 'jinja2', 'requests', 'smtplib') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "" == done.stdout.strip()


def test_nothing_of_a_target_is_logged(
    settings: Settings, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.targets({"mail": mailbox.url("wr0ng-passw0rd")})

    async def story() -> None:
        async with running(Notifier(config(settings))) as notifier:
            notifier.observe(LOST)
            await until("the fault", lambda: notifier.faults)
            assert "535" in notifier.faults[0]
            assert "wr0ng" not in str(notifier.faults)

    asyncio.run(story())
    assert "mail is not notified" in caplog.text
    told = "".join(r.getMessage() for r in caplog.records if r.name.startswith("powmonman"))
    assert "wr0ng" not in told


def test_a_drill_is_told_as_one_and_leaves_no_trace(settings: Settings) -> None:
    """Its loss is told beside a real one, and a restart in the middle repeats nothing real."""
    notifier = Notifier(config(settings))
    notifier.observe(GOOD)
    notifier.observe_drill(GOOD)
    notifier.observe_drill(LOST)
    told = [event for message in notifier._courier.spool.unassigned() for event in message.events]
    assert [(event.kind, event.drill) for event in told] == [(Kind.ON_BATTERY, True)]
    assert notifier._told.upses["rack"].outage == ""
    notifier.end_drill(Event(Kind.DRILL, reason="1 host protected", drill=True))
    notifier.observe_drill(GOOD)
    notifier.observe(LOST)
    told = [event for message in notifier._courier.spool.unassigned() for event in message.events]
    kinds = [(event.kind, event.drill) for event in told]
    assert kinds == [(Kind.ON_BATTERY, True), (Kind.DRILL, True), (Kind.ON_BATTERY, False)]


def test_where_nobody_is_told_nobody_is_told_of_a_drill(settings: Settings) -> None:
    notifier = Notifier(config(settings, enabled=False))
    notifier.observe_drill(LOST)
    notifier.end_drill(Event(Kind.DRILL))
    assert len(notifier._courier.spool) == 0
