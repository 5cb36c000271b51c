"""Signals, for the server's loop."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING

from powmonman.server.signals import heeding

if TYPE_CHECKING:
    import pytest

FIRST, SECOND = signal.SIGUSR1, signal.SIGUSR2


def heard(*numbers: signal.Signals, heeded: tuple[signal.Signals, ...] = (FIRST, SECOND)) -> list:
    """Return which signals the loop was told of when this process got `numbers`."""
    told: list[signal.Signals] = []
    all_told = asyncio.Event()

    def tell(number: signal.Signals) -> None:
        told.append(number)
        if len(told) == len(numbers):
            all_told.set()

    async def get() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)
        async with asyncio.timeout(20):
            await all_told.wait()

    handlers = {number: partial(tell, number) for number in heeded}
    with asyncio.Runner() as runner, heeding(handlers, runner.get_loop()):
        runner.run(get())
    return told


def test_each_signal_does_what_is_its_own_in_the_order_in_which_they_come() -> None:
    assert heard(SECOND, FIRST, SECOND) == [SECOND, FIRST, SECOND]


def test_the_interrupt_key_does_what_it_is_told_instead_of_ending_the_loop() -> None:
    assert heard(signal.SIGINT, heeded=(signal.SIGINT,)) == [signal.SIGINT]


def test_a_signal_wakes_a_loop_that_waits_for_nothing_else() -> None:
    woken = asyncio.Event()

    async def wait() -> None:
        # From outside, and later: nothing in this process is due then.
        kill = f"sleep 0.2; kill -USR1 {os.getpid()}"
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", kill)
        async with asyncio.timeout(20):
            await woken.wait()
        await process.wait()

    with asyncio.Runner() as runner, heeding({FIRST: woken.set}, runner.get_loop()):
        runner.run(wait())


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(FIRST), signal.getsignal(signal.SIGINT)
    heard(FIRST, heeded=(FIRST, signal.SIGINT))
    assert before == (signal.getsignal(FIRST), signal.getsignal(signal.SIGINT))
    assert signal.set_wakeup_fd(-1) == -1


def test_what_a_handler_raises_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    told = asyncio.Event()

    async def get() -> None:
        os.kill(os.getpid(), FIRST)
        os.kill(os.getpid(), SECOND)
        async with asyncio.timeout(20):
            await told.wait()

    def fails() -> None:
        raise RuntimeError("a fault of ours")

    with asyncio.Runner() as runner, heeding({FIRST: fails, SECOND: told.set}, runner.get_loop()):
        runner.run(get())
    assert "a fault of ours" in caplog.text
