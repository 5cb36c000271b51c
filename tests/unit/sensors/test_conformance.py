"""What every sensor promises, whatever it reads. A new sensor is one more `World` here."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from apcupsd import framed
from scripted import Scripted
from supplies import Tree

from powmonman.config.sources import Apcupsd, Battery, Gpio, Nut, Ping, Program, Simulated
from powmonman.sensors.apcupsd import ApcupsdSensor
from powmonman.sensors.battery import BatterySensor
from powmonman.sensors.command import CommandSensor
from powmonman.sensors.gpio import LAST_RETRY, GpioSensor
from powmonman.sensors.nut import NutSensor
from powmonman.sensors.ping import SETTLE, PingSensor
from powmonman.sensors.simulated import SimulatedSensor
from powmonman.sensors.witnessed import WitnessedSensor
from powmonman.simulate import write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from powmonman.core.power import Reading
    from powmonman.sensors import Sensor


class World(Protocol):
    """A sensor, and what it senses."""

    sensor: Sensor

    def mains(self, *, on: bool) -> None:
        """Let the mains be so."""

    def break_sensor(self) -> None:
        """Take away what the sensor reads from."""

    def mend_sensor(self) -> None:
        """Give it back, and let the time pass in which a sensor must have noticed."""


class SimulatedWorld:
    def __init__(self, path: Path) -> None:
        self.sensor: Sensor = SimulatedSensor(Simulated(file=str(path), poll=0.25))
        self._path = path
        self._text = ""

    def mains(self, *, on: bool) -> None:
        self._text = f"mains: {'on' if on else 'off'}\n"
        write(self._path, self._text)

    def break_sensor(self) -> None:
        self._path.unlink()

    def mend_sensor(self) -> None:
        write(self._path, self._text)


class GpioWorld:
    def __init__(self, board: Any, clock: Any, settings: Gpio) -> None:
        self.sensor: Sensor = GpioSensor(settings, clock)
        self._board, self._clock, self._settings = board, clock, settings

    def mains(self, *, on: bool) -> None:
        level = "high" if on is not self._settings.active_low else "low"
        self._board.wire(self._settings.pin, level)

    def break_sensor(self) -> None:
        if self._board.library == "rpi-lgpio":
            self._board.remove_chip()
        else:
            self._board.raises = RuntimeError("out of order")

    def mend_sensor(self) -> None:
        self._board.raises = None
        if self._board.chip is None:
            self._board.restore_chip()
        self._clock.now += LAST_RETRY


class BatteryWorld:
    def __init__(self, directory: Path) -> None:
        self._tree = Tree(directory, "thinkpad")
        self._gone = directory / "gone"
        self.sensor: Sensor = BatterySensor(Battery(root=str(self._tree.root), poll=0.25))

    def mains(self, *, on: bool) -> None:
        self._tree.set({"AC/online": str(int(on))})
        self._tree.set({"BAT0/status": "Charging" if on else "Discharging"})

    def break_sensor(self) -> None:
        self._tree.root.rename(self._gone)

    def mend_sensor(self) -> None:
        self._gone.rename(self._tree.root)


class PsutilWorld:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._battery = SimpleNamespace(percent=80, secsleft=-1, power_plugged=True)
        self._psutil = SimpleNamespace(sensors_battery=lambda: self._battery)
        self.sensor: Sensor = BatterySensor(Battery(poll=0.25), "darwin")
        self.mend_sensor()

    def mains(self, *, on: bool) -> None:
        self._battery.power_plugged = on

    def break_sensor(self) -> None:
        self._monkeypatch.setitem(sys.modules, "psutil", None)

    def mend_sensor(self) -> None:
        self._monkeypatch.setitem(sys.modules, "psutil", self._psutil)


class CommandWorld:
    """A program that says what stands in a file, as its exit code or as JSON."""

    def __init__(self, directory: Path, scripts: dict[bool, str]) -> None:
        self._program, self._scripts = directory / "mains-on", scripts
        self._on = True
        command = (str(self._program),)
        self.sensor: Sensor = CommandSensor(Program(command=command, poll=0.25, timeout=20))

    def mains(self, *, on: bool) -> None:
        self._on = on
        write(self._program, f"#!/bin/sh\n{self._scripts[on]}\n")
        self._program.chmod(0o755)

    def break_sensor(self) -> None:
        self._program.unlink()

    def mend_sensor(self) -> None:
        self.mains(on=self._on)


class PingWorld:
    """Two sentinels, both of which answered once, behind a cable."""

    def __init__(self, sentinels: Any, clock: Any) -> None:
        settings = Ping(hosts=sentinels.hosts, timeout=0.1, poll=0.25)
        self.sensor: Sensor = PingSensor(settings, clock)
        self._sentinels, self._clock = sentinels, clock
        asyncio.run(self.sensor.read())

    def mains(self, *, on: bool) -> None:
        for host in self._sentinels.hosts:
            self._sentinels.alive(host, alive=on)

    def break_sensor(self) -> None:
        self._sentinels.link(up=False)

    def mend_sensor(self) -> None:
        self._sentinels.link(up=True)
        asyncio.run(self.sensor.read())
        self._clock.now += SETTLE


class WitnessedWorld:
    """Two files that are there or gone together."""

    def __init__(self, directory: Path, quorum: int | None) -> None:
        self._members = [SimulatedWorld(directory / name) for name in ("one.yml", "two.yml")]
        self.sensor: Sensor = WitnessedSensor([each.sensor for each in self._members], quorum)

    def mains(self, *, on: bool) -> None:
        for member in self._members:
            member.mains(on=on)

    def break_sensor(self) -> None:
        for member in self._members:
            member.break_sensor()

    def mend_sensor(self) -> None:
        for member in self._members:
            member.mend_sensor()


class NetworkWorld:
    """A server that speaks the protocol of NUT or of apcupsd; test_nut has the real ones."""

    def __init__(self, sensor: Sensor, server: Scripted, clock: Any) -> None:
        self.sensor = sensor
        self._server, self._clock = server, clock
        self._answer = b""

    def mains(self, *, on: bool) -> None:
        if isinstance(self.sensor, NutSensor):
            line = f'VAR ups ups.status "{"OL" if on else "OB"}"'
            self._answer = f"BEGIN LIST VAR ups\n{line}\nEND LIST VAR ups\n".encode()
        else:
            self._answer = framed([f"STATUS   : {'ONLINE' if on else 'ONBATT'}"])
        self._server.answer = lambda _: [self._answer]

    def break_sensor(self) -> None:
        self._server.answer = lambda _: [b""]
        self._server.hang_up()

    def mend_sensor(self) -> None:
        self._server.answer = lambda _: [self._answer]
        self._clock.now += LAST_RETRY


WORLDS = [
    "simulated",
    "battery",
    "battery by psutil",
    "gpio by rpi-lgpio",
    "gpio by RPi.GPIO",
    "gpio, active low",
    "gpio, outside resistor",
    "command by exit code",
    "command by JSON",
    "ping",
    "witnessed, all",
    "witnessed, any",
    "nut",
    "apcupsd",
]

SCRIPTS = {
    "command by exit code": {True: "exit 0", False: "exit 1"},
    "command by JSON": {
        True: """echo '{"mains": "on", "charge": 100}'""",
        False: """echo '{"mains": "off", "charge": 90}'""",
    },
}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as server:
        yield server


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world: World
    if request.param == "simulated":
        world = SimulatedWorld(tmp_path / "mains.yml")
    elif request.param == "battery":
        world = BatteryWorld(tmp_path)
    elif request.param == "battery by psutil":
        world = PsutilWorld(request.getfixturevalue("monkeypatch"))
    elif request.param in SCRIPTS:
        world = CommandWorld(tmp_path, SCRIPTS[request.param])
    elif request.param == "ping":
        fixtures = (request.getfixturevalue(name) for name in ("sentinels", "clock"))
        world = PingWorld(*fixtures)
    elif request.param.startswith("witnessed"):
        world = WitnessedWorld(tmp_path, 1 if "any" in request.param else None)
    elif request.param in {"nut", "apcupsd"}:
        server, clock = request.getfixturevalue("server"), request.getfixturevalue("clock")
        sensor = (
            NutSensor(Nut(port=server.port, poll=0.25), clock)
            if request.param == "nut"
            else ApcupsdSensor(Apcupsd(port=server.port, poll=0.25), clock)
        )
        world = NetworkWorld(sensor, server, clock)
    else:
        board = request.getfixturevalue("board")
        board.library = "RPi.GPIO" if "RPi.GPIO" in request.param else "rpi-lgpio"
        settings = {
            "gpio, active low": Gpio(active_low=True, pull="up"),
            "gpio, outside resistor": Gpio(pull="off"),
        }.get(request.param, Gpio())
        world = GpioWorld(board, request.getfixturevalue("clock"), settings)
    yield world
    world.sensor.close()


def read(world: World) -> Reading:
    return asyncio.run(world.sensor.read())


def verify(world: World) -> Reading:
    return asyncio.run(world.sensor.verify())


def test_the_reading_follows_the_mains(world: World) -> None:
    told = []
    for on in (True, False, True, False):
        world.mains(on=on)
        told.append(read(world).mains)
    assert told == [True, False, True, False]


def test_mains_are_on_at_the_first_reading_already(world: World) -> None:
    world.mains(on=True)
    assert read(world).mains is True


@pytest.mark.parametrize("on", [True, False])
def test_a_closer_look_at_a_sound_sensor_agrees_with_the_reading(world: World, on: bool) -> None:
    world.mains(on=on)
    assert verify(world).mains is on
    assert read(world).mains is on


def test_a_broken_sensor_reads_unknown_and_says_why(world: World) -> None:
    world.mains(on=True)
    read(world)
    world.break_sensor()
    for reading in (read(world), verify(world), read(world)):
        assert reading.mains is None
        assert reading.reason


def test_the_reason_is_one_line_and_names_the_next_step(world: World) -> None:
    world.mains(on=False)
    read(world)
    world.break_sensor()
    reason = read(world).reason
    assert "\n" not in reason
    assert "; " in reason


def test_a_sensor_broken_from_the_start_reads_unknown(world: World) -> None:
    world.mains(on=True)
    world.break_sensor()
    assert read(world).mains is None


@pytest.mark.parametrize("on", [True, False])
def test_a_mended_sensor_reads_again_without_a_restart(world: World, on: bool) -> None:
    for _ in range(3):
        world.mains(on=not on)
        read(world)
        world.break_sensor()
        assert read(world).mains is None
        world.mains(on=on)
        world.mend_sensor()
        reading = read(world)
        assert (reading.mains, reading.reason) == (on, "")


def test_a_closer_look_that_is_cut_short_spoils_nothing(world: World) -> None:
    async def hurried() -> Reading:
        look = asyncio.ensure_future(world.sensor.verify())
        await asyncio.sleep(0.005)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)
        return await world.sensor.read()

    world.mains(on=False)
    read(world)
    assert asyncio.run(hurried()).mains is False
    world.mains(on=True)
    assert read(world).mains is True


def test_close_is_harmless_at_any_time_and_undone_by_reading(world: World) -> None:
    world.mains(on=True)
    world.sensor.close()
    read(world)
    world.sensor.close()
    world.sensor.close()
    assert read(world).mains is True


def test_the_description_is_one_line_before_and_after_the_first_reading(world: World) -> None:
    world.mains(on=True)
    before = world.sensor.describe()
    read(world)
    for line in (before, world.sensor.describe()):
        assert line
        assert "\n" not in line


def test_the_sensor_says_how_often_to_poll(world: World) -> None:
    assert world.sensor.poll == 0.25


def test_reading_for_long_leaves_no_descriptor_open(world: World) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    world.mains(on=True)
    read(world)
    before = descriptors()
    for _ in range(50):
        world.break_sensor()
        read(world)
        world.mend_sensor()
        read(world)
    assert descriptors() <= before
