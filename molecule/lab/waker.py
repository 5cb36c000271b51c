"""Wake-on-LAN for the lab: a host that is off is switched on by its own magic packet alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from engine import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet import Fleet

LISTENER = Path(__file__).with_name("magic.py")
# Packets for one host that are closer together than this are one attempt to wake it: one for each
# interface and each address that the server sends to.
ATTEMPT = 1.0


@dataclass(frozen=True)
class Packet:
    """A magic packet. `at` is on the monotonic clock; `attempt` counts those for its host."""

    at: float
    mac: str
    host: str
    to: str
    attempt: int
    lost: bool


@dataclass(frozen=True)
class Start:
    """A host that was off and was switched on: when the packet came, and when it ran."""

    host: str
    at: float
    running: float
    own_boot_id: bool


@dataclass
class Waker:
    """Listens from `with` to its end, and keeps what it heard and did.

    Attributes:
        listener: The command that prints the packets.
        hosts: Names by MAC address.
        switch_on: Boots a host and says whether it got a boot id of its own; None: it wasn't off.
        clock: The monotonic clock.
        lose: How many of the first attempts to wake a host are lost on the way.
        tell: Takes what happens, in words.
        faults: What kept a host from being switched on.
    """

    listener: list[str]
    hosts: dict[str, str]
    switch_on: Callable[[str], bool | None]
    clock: Callable[[], float]
    lose: dict[str, int] = field(default_factory=dict)
    tell: Callable[[str], object] = lambda _: None
    packets: list[Packet] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        fleet: Fleet,
        lose: dict[str, int] | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> Self:
        """Return the waker of a fleet's own network."""
        return cls(
            fleet.beside_the_hosts(sys.executable, str(LISTENER), fleet.bridge()),
            {host.mac: host.name for host in fleet.hosts},
            fleet.boot_if_off,
            time.monotonic,
            lose or {},
            tell,
        )

    def __enter__(self) -> Self:
        """Return when packets are heard.

        Raises:
            LabError: The listener could not be started; it has said why.
        """
        self._process = subprocess.Popen(
            self.listener,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for who waits here.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise LabError(f"{self.listener} listens to nothing")
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        assert self._process.stdin is not None
        with self._process:
            self._process.stdin.close()
            self._thread.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            packet = self._packet(said["at"], said["mac"], said["to"])
            self.packets.append(packet)
            self.tell(f"a magic packet for {packet.host or packet.mac}, to {packet.to}")
            if packet.host and not packet.lost:
                self._wake(packet)

    def _wake(self, packet: Packet) -> None:
        try:
            own = self.switch_on(packet.host)
        except LabError as error:
            self.faults.append(f"{packet.host}: {error}")
            self.tell(self.faults[-1])
            return
        if own is not None:
            self.starts.append(Start(packet.host, packet.at, self.clock(), own))
            self.tell(f"{packet.host} was off and is switched on")

    def _packet(self, at: float, mac: str, to: str) -> Packet:
        earlier = next((each for each in reversed(self.packets) if each.mac == mac), None)
        attempt = 1
        if earlier is not None:
            attempt = earlier.attempt + (at - earlier.at > ATTEMPT)
        host = self.hosts.get(mac, "")
        return Packet(at, mac, host, to, attempt, attempt <= self.lose.get(host, 0))
