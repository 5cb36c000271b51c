"""A server and two hosts, each in a network namespace of its own: hosts that really stop answering.

    web (10.98.1.2) ── (10.98.1.1) pi (10.98.2.1) ── (10.98.2.2) nas

A peer speaks the protocol as a client does, says what it is told to say, and notes whom the server
says that it still waits for.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boottime

from .cable import ip
from .daemon import PATIENCE, clean_environment, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from .daemon import Daemon
    from .fleet import Fleet

SETTLE, GONE_AFTER = 1.0, 5.0

PEER = """
import json, select, sys, time
from pathlib import Path
from powmonman.client.link import Link, LinkError
from powmonman.core.messages import Ack, Hello, State, Status
from powmonman.core.records import from_json
from powmonman.net.tls import client_context
from powmonman.service.clock import boottime

context, hello = client_context(Path(sys.argv[1])), from_json(Hello, json.loads(sys.argv[4]))
said = Status("idle")
link = None
while True:
    if link is None:
        try:
            link = Link.open(context, sys.argv[2], int(sys.argv[3]))
            link.send(hello)
            link.send(said)
        except LinkError:
            link = None
            time.sleep(0.1)
            continue
    ready = select.select([link, sys.stdin], [], [], 0.2)[0]
    try:
        if sys.stdin in ready:
            if not (line := sys.stdin.readline()):
                break
            said = Status(*json.loads(line))
            link.send(said)
        if link in ready:
            for message in link.receive():
                if isinstance(message, State):
                    link.send(Ack(message.seq, 1))
                    power = message.upses["ups"].state
                    print(json.dumps([boottime(), power, message.own.waits]), flush=True)
    except LinkError:
        link.close()
        link = None
"""


class Peer:
    """One process that speaks for a host."""

    def __init__(self, rack: Rack, name: str, address: str, output: Path, **hello: Any) -> None:
        told = {"nonce": 1, "boot_id": f"{name}-1", "min_observe": 1, **hello}
        identity = str(rack.fleet.authority.client(name))
        command = [sys.executable, "-c", PEER, identity, address, str(rack.fleet.port)]
        self._output = output
        with output.open("ab") as file:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", rack.namespaces[name], *command, json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=file,
                text=True,
                env=clean_environment({}),
            )

    @property
    def heard(self) -> list[tuple[float, str, list[str]]]:
        """What the server has said: when, the power, and whom this host still waits for."""
        lines = self._output.read_text("utf-8").splitlines()
        return [tuple(json.loads(line)) for line in lines if line.endswith("]")]

    def says(self, phase: str, outage: str = "") -> None:
        """Report what this host does."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([phase, "on_battery", None, outage]) + "\n")
        self._process.stdin.flush()

    def hears(self, *waits: str, within: float = PATIENCE) -> float:
        """Wait until the server says that exactly these are waited for; return when."""

        def moment() -> float | None:
            heard = self.heard
            return heard[-1][0] if heard and heard[-1][2] == list(waits) else None

        return wait_for(f"waits for {waits}", moment, within) or 0.0

    def kill(self) -> float:
        """Kill it without a word; return when."""
        self._process.kill()
        self._process.communicate()
        return boottime()


class Rack:
    """The namespaces, and the processes in them."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.namespaces = {name: f"powmonman-{name}-{os.getpid()}" for name in ("pi", "web", "nas")}
        self._peers: list[Peer] = []
        self.server = fleet.server(
            clients=["nas", "web"],
            policy__after=600,
            listen__address="",
            order={"settle": SETTLE, "gone_after": GONE_AFTER},
        )
        self.server.prefix = self.inside("pi")

    def inside(self, name: str) -> list[str]:
        """Return what runs a command on a host."""
        return ["ip", "netns", "exec", self.namespaces[name]]

    def lay(self) -> None:
        """Make the hosts and their cables."""
        for namespace in self.namespaces.values():
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        pi = self.namespaces["pi"]
        for number, name in enumerate(("web", "nas"), 1):
            far = self.namespaces[name]
            ip("-n", pi, "link", "add", f"to-{name}", "type", "veth", "peer", "far", "netns", far)
            ip("-n", far, "link", "set", "far", "name", "lan0")
            for namespace, link, host in ((pi, f"to-{name}", 1), (far, "lan0", 2)):
                ip("-n", namespace, "link", "set", link, "up")
                ip("-n", namespace, "addr", "add", f"10.98.{number}.{host}/24", "dev", link)
        self.set("pi", "net.ipv4.ping_group_range", "0 2147483647")

    def set(self, name: str, key: str, value: str) -> None:
        """Set a sysctl of a host."""
        command = [*self.inside(name), "sysctl", "-q", "-w", f"{key}={value}"]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def peer(self, name: str, **hello: Any) -> Peer:
        """Let a host join."""
        number = {"web": 1, "nas": 2}[name]
        output = self.fleet.path(f"{name}.heard")
        peer = Peer(self, name, f"10.98.{number}.1", output, **hello)
        self._peers.append(peer)
        wait_for(f"{name} hears the server", lambda: peer.heard)
        return peer

    def off(self, name: str) -> float:
        """Take a host's address, so that nothing of it answers; return when."""
        number = {"web": 1, "nas": 2}[name]
        ip("-n", self.namespaces[name], "addr", "del", f"10.98.{number}.2/24", "dev", "lan0")
        return boottime()

    def on(self, name: str) -> None:
        """Give it back."""
        number = {"web": 1, "nas": 2}[name]
        ip("-n", self.namespaces[name], "addr", "add", f"10.98.{number}.2/24", "dev", "lan0")

    def outage(self) -> str:
        """Let the mains fail; return the outage's id when the server knows of it."""
        self.fleet.mains("off")
        return wait_for("an outage", self._outage)

    def _outage(self) -> str:
        return str(self.fleet.report(self.server).get("upses", {}).get("ups", {}).get("outage", ""))

    def remove(self) -> None:
        """End every process, and remove the namespaces."""
        for peer in self._peers:
            with contextlib.suppress(ProcessLookupError):
                peer.kill()
        for namespace in self.namespaces.values():
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def down(fleet: Fleet, server: Daemon, name: str) -> str:
    """Return how the server knows that a host is down; empty if it is not."""
    return str(fleet.row(server, name).get("down", ""))
