"""Scenes with real uevents: run in a network namespace of their own, see test_uevents.py.

The kernel hands on an event that root in the namespace's user namespace gives to it, to all who
listen in that network namespace, and signs it as its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from supplies import Tree

from powmonman.config.schema import ServerConfig
from powmonman.config.sources import Battery, Ups
from powmonman.core.power import PowerState
from powmonman.sensors import battery, pause, uevents
from powmonman.server.monitor import Monitor, supply_for

NLM_F_REQUEST, NLMSG_MIN_TYPE = 1, 0x10


def tell(subsystem: str = "power_supply", name: str = "AC") -> None:
    """Let the kernel say that a device has changed."""
    path = f"/devices/{subsystem}/{name}"
    lines = (f"change@{path}", "ACTION=change", f"DEVPATH={path}", f"SUBSYSTEM={subsystem}")
    event = b"".join(line.encode() + b"\0" for line in lines)
    header = struct.pack("=IHHII", 16 + len(event), NLMSG_MIN_TYPE, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as kernel:
        kernel.sendto(header + event, (0, 0))


def forge(port: int) -> None:
    """Say the same to one listener without the kernel."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as other:
        other.sendto(b"change@/x\0SUBSYSTEM=power_supply\0", (port, 0))


def own_namespace_is_the_first() -> None:
    """Make the namespace of this process pass for the machine's first."""
    first = Path("/proc/self/ns/user").stat().st_ino
    uevents._FIRST_USER_NAMESPACE = first


async def waits(events: uevents.Uevents, longest: float = 10.0) -> float | None:
    """Return after how many seconds `wait` returned, or None."""
    since = time.monotonic()
    try:
        await asyncio.wait_for(events.wait(), longest)
    except TimeoutError:
        return None
    return time.monotonic() - since


async def news() -> Any:
    """Events before and during the wait, and none."""
    events = uevents.Uevents("power_supply")
    events.open()
    tell()
    before = await waits(events)
    asyncio.get_running_loop().call_later(0.2, tell)
    during = await waits(events)
    none = await waits(events, 0.3)
    events.close()
    return {"before": before, "during": during, "none": none}


async def others() -> Any:
    """Other subsystems, and somebody who only says that he is the kernel."""
    events = uevents.Uevents("power_supply")
    events.open()
    assert events._socket
    for subsystem in ("usb", "power_supply_x", "mem"):
        tell(subsystem)
    forge(events._socket.getsockname()[0])
    none = await waits(events, 0.3)
    events.close()
    return none


async def overflow() -> Any:
    """More events than the socket can hold, of which none is about a power supply."""
    events = uevents.Uevents("power_supply")
    events.open()
    assert events._socket
    events._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(500):
        tell("usb")
    lost, quiet = await waits(events), await waits(events, 0.3)
    tell()
    again = await waits(events)
    events.close()
    return {"lost": lost, "quiet": quiet, "again": again, "fault": events.fault}


async def storm() -> Any:
    """How often the sensor would be read while events come without end for a second."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Tree(Path(directory), "thinkpad")
        battery.KERNELS = tree.root
        sensor = battery.BatterySensor(Battery(root=str(tree.root)))
        looks, end = 0, time.monotonic() + 1

        async def blow() -> None:
            while time.monotonic() < end:
                tell()
                await asyncio.sleep(0.002)

        blowing = asyncio.create_task(blow())
        while time.monotonic() < end:
            await pause(sensor, sensor.poll)
            looks += 1
        await blowing
        sensor.close()
    return looks


async def describe() -> Any:
    """What the sensor says of its events, as this namespace really is."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Tree(Path(directory), "thinkpad")
        battery.KERNELS = tree.root
        sensor = battery.BatterySensor(Battery(root=str(tree.root)))
        await sensor.read()
        line = sensor.describe().removeprefix(f"battery: power supplies in {tree.root}, ")
        since = time.monotonic()
        sensor._settings = Battery(poll=0.3)
        await pause(sensor, sensor.poll)
        paused = time.monotonic() - since
        sensor.close()
    return {"line": line, "paused": paused}


async def outage() -> Any:
    """The plug is pulled under a monitor that polls once a minute."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Tree(Path(directory), "thinkpad")
        battery.KERNELS = tree.root
        ups = Ups(
            sensor="battery",
            confirm=0,
            restore_confirm=0,
            battery=Battery(root=str(tree.root), poll=60),
        )
        sensor, told = battery.BatterySensor(ups.battery), asyncio.Queue[PowerState]()

        async def changed(monitor: Monitor) -> None:
            await told.put(monitor.supply.state)

        monitor = Monitor("desk", ups, sensor, supply_for(ups, sensor, ServerConfig()), changed)
        watch = asyncio.create_task(monitor.run())
        first = await asyncio.wait_for(told.get(), 10)
        tree.set({"AC/online": "0", "BAT0/status": "Discharging"})
        since = time.monotonic()
        tell()
        second = await asyncio.wait_for(told.get(), 10)
        after, line = time.monotonic() - since, sensor.describe()
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    return {"states": [first, second], "after": after, "line": line}


if __name__ == "__main__":
    scene = globals()[sys.argv[1]]
    if sys.argv[1] != "describe":
        own_namespace_is_the_first()
    print(json.dumps(asyncio.run(scene())))
    sys.stdout.flush()
    os._exit(0)
