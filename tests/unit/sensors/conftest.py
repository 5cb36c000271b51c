"""A board to wire up, with the two libraries that read it, as measured on gpio-sim and on a Pi."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import socket
import sys
from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.net import link
from powmonman.sensors import ping, rpigpio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OFF, DOWN, UP = 20, 21, 22


class LgpioError(Exception):
    """Like lgpio.error: derived from Exception only, and quoting its text."""

    def __str__(self) -> str:
        return repr(self.args[0])


class Board:
    """The world behind a GPIO library.

    `lines` holds by BCM number: high or low (driven), cut (nothing drives it, the pull decides),
    or hum (cut, and lying beside a mains cable: pulled up, it is high at every fourth look).
    """

    def __init__(self) -> None:
        self.library = "rpi-lgpio"
        self.installed = True
        self.permitted = True
        self.busy: set[int] = set()
        self.raises: Exception | None = None
        self.lines: dict[int, str] = {}
        self.pulls: dict[int, int] = {}
        self.claims: Counter[int] = Counter()
        self.chip: object | None = object()
        self._looks = 0

    def wire(self, bcm: int, level: str) -> None:
        self.lines[bcm] = level

    def remove_chip(self) -> None:
        """The driver is unbound: every handle is stale for ever."""
        self.chip = None
        self.pulls.clear()

    def restore_chip(self) -> None:
        self.chip = object()

    def level(self, bcm: int) -> int:
        line = self.lines.get(bcm, "cut")
        if line in {"cut", "hum"}:
            self._looks += 1
            return int(self.pulls[bcm] == UP and (line == "cut" or self._looks % 4 == 0))
        return int(line == "high")


def _constants(module: Any) -> None:
    module.BCM, module.IN = 11, 1
    module.PUD_OFF, module.PUD_DOWN, module.PUD_UP = OFF, DOWN, UP
    module.setwarnings = lambda _: None


def _rpi_lgpio(module: Any, board: Board) -> None:
    directory = os.environ["LG_WD"]
    os.chdir(directory)
    _constants(module)
    module.VERSION, module._chip = "0.7.2", None
    module.lgpio = ModuleType("lgpio")
    module.lgpio.gpiochip_close = lambda _: None
    mine: set[int] = set()

    def present(complaint: str) -> None:
        if board.raises:
            raise board.raises
        if module._chip is not board.chip or board.chip is None:
            raise LgpioError(complaint)

    def setmode(_: int) -> None:
        if module._chip is None:
            if board.chip is None or not board.permitted:
                raise LgpioError("can not open gpiochip")
            module._chip = board.chip

    def setup(bcm: int, _: int, pull_up_down: int) -> None:
        board.claims[bcm] += 1
        present("unexpected error")
        if bcm in board.busy:
            raise LgpioError("GPIO busy")
        mine.add(bcm)
        board.pulls[bcm] = pull_up_down

    def read(bcm: int) -> int:
        present("bad lineinfo IOCTL")
        if bcm not in mine:
            raise RuntimeError("You must setup() the GPIO channel first")
        return board.level(bcm)

    def cleanup(bcm: int | None = None) -> None:
        if bcm is None:
            present("bad chipinfo IOCTL")
            module._chip = None
            mine.clear()
            return
        if bcm in board.busy:
            raise LgpioError("GPIO busy")
        mine.discard(bcm)
        board.pulls.pop(bcm, None)

    module.setmode, module.setup, module.input, module.cleanup = setmode, setup, read, cleanup


def _rpi_gpio(module: Any, board: Board) -> None:
    _constants(module)
    module.VERSION = "0.7.1"
    mine: set[int] = set()

    def setup(bcm: int, _: int, pull_up_down: int) -> None:
        board.claims[bcm] += 1
        if board.raises:
            raise board.raises
        if not board.permitted:
            raise RuntimeError("No access to /dev/mem.  Try running as root!")
        mine.add(bcm)
        board.pulls[bcm] = pull_up_down

    def read(bcm: int) -> int:
        if board.raises:
            raise board.raises
        if bcm not in mine:
            raise RuntimeError("You must setup() the GPIO channel first")
        return board.level(bcm)

    def cleanup(bcm: int | None = None) -> None:
        for one in list(mine) if bcm is None else [bcm]:
            mine.discard(one)
            board.pulls.pop(one, None)

    module.setmode = lambda _: None
    module.setup, module.input, module.cleanup = setup, read, cleanup


class _Installer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds RPi.GPIO while the board has it installed."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name in {"RPi", "RPi.GPIO"} and self._board.installed:
            return importlib.machinery.ModuleSpec(name, self, is_package=name == "RPi")
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == "RPi.GPIO":
            fill = {"rpi-lgpio": _rpi_lgpio, "RPi.GPIO": _rpi_gpio}[self._board.library]
            fill(module, self._board)


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Board]:
    """A board with rpi-lgpio installed and nothing wired."""
    board = Board()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("LG_WD", str(tmp_path / "run"))
    monkeypatch.setattr(sys, "meta_path", [_Installer(board), *sys.meta_path])
    monkeypatch.setattr(rpigpio, "_claimed", set())
    for name in ("RPi", "RPi.GPIO"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield board
    for name in ("RPi", "RPi.GPIO"):
        sys.modules.pop(name, None)


class Sentinels:
    """Two hosts of this machine's loopback that refuse one TCP port, and the link to them.

    Silent they are by a queue that is full: the kernel drops what comes then, as for a dead host.
    """

    def __init__(self, interfaces: Path) -> None:
        self.hosts = ("127.0.0.2", "127.0.0.3")
        self._link = interfaces / "lo"
        self._link.mkdir()
        self._changes = 2
        self.link(up=True)
        self._ports: dict[str, socket.socket] = {}
        self._taken: dict[str, socket.socket] = {}
        self.port = 0
        for host in self.hosts:
            self._reserve(host)

    def _reserve(self, host: str) -> None:
        """Keep the port for us; nobody listens there, so it is refused."""
        self._ports[host] = sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, self.port))
        self.port = sock.getsockname()[1]

    def alive(self, host: str, *, alive: bool) -> None:
        """Let one host answer, or be silent."""
        if alive and host in self._taken:
            self._taken.pop(host).close()
            self._ports.pop(host).close()
            self._reserve(host)
        elif not alive and host not in self._taken:
            self._ports[host].listen(0)
            self._taken[host] = socket.create_connection((host, self.port), 10)

    def link(self, *, up: bool) -> None:
        """Plug the cable in, or pull it."""
        self._changes += 1
        (self._link / "carrier").write_text("1\n" if up else "0\n")
        (self._link / "carrier_changes").write_text(f"{self._changes}\n")

    def close(self) -> None:
        for each in (*self._ports.values(), *self._taken.values()):
            each.close()


@pytest.fixture
def sentinels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sentinels]:
    """Two hosts that answer; what they are asked is their one port."""
    interfaces = tmp_path / "net"
    interfaces.mkdir()
    sentinels = Sentinels(interfaces)
    monkeypatch.setattr(link, "INTERFACES", interfaces)
    monkeypatch.setattr(ping, "WAYS", (sentinels.port,))
    yield sentinels
    sentinels.close()


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The sensor's clock."""
    return Clock()
