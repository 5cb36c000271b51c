"""How one host is switched on: by magic packets, by a command, or by nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from powmonman.config.order_keys import Wake
from powmonman.core.records import printable
from powmonman.net import wake
from powmonman.sensors.program import Run

if TYPE_CHECKING:
    from powmonman.config.order_keys import Recovery
    from powmonman.core.due import Known

LONGEST_WORDS = 200


@dataclass(frozen=True)
class Means:
    """What there is to wake a host with.

    Attributes:
        macs: For `wake_on_lan`, as 12 hexadecimal digits.
        fault: Why it can't be woken; empty if it can, as far as this host knows.
    """

    method: str
    macs: tuple[str, ...] = ()
    broadcasts: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    timeout: float = 30.0
    fault: str = ""

    def say(self) -> str:
        """Name it for people."""
        return {
            "wake_on_lan": f"magic packet for {', '.join(map(_colons, self.macs))}",
            "command": f"command {self.command[0] if self.command else ''}",
        }.get(self.method, "awaited: nobody wakes it")


def means(config: Recovery, name: str, known: Known) -> Means:
    """Return what there is to wake the host `name` with, which said of itself what is `known`."""
    wanted = config.hosts.get(name, Wake())
    if wanted.method == "none":
        return Means("none", fault="recovery.hosts says method: none")
    if wanted.method == "command":
        fault = "" if wanted.command else "recovery.hosts names no command"
        return Means("command", command=wanted.command, timeout=wanted.timeout, fault=fault)
    macs = tuple(filter(None, map(wake.digits, wanted.macs or known.macs)))
    fault = "" if macs else "no MAC address known: name one in recovery.hosts"
    return Means("wake_on_lan", macs=macs, broadcasts=wanted.broadcasts, fault=fault)


def send(given: Means, config: Recovery) -> tuple[str, str]:
    """Send magic packets; return by which ways they left, and what is wrong, in words."""
    sent = wake.wake(given.macs, only=config.interfaces, broadcasts=given.broadcasts)
    # An interface that can't be sent on is no fault while others can, unless it was named.
    wrong = sent.faults if config.interfaces or given.broadcasts or not sent.by else ()
    if not sent.by and not wrong:
        wrong = ("no interface is up",)
    return ", ".join(sent.by), "; ".join(wrong)


async def run(given: Means) -> str:
    """Run the command to its end; return what went wrong, in words."""
    try:
        program = Run(given.command)
    except (OSError, ValueError) as error:
        return f"{given.command[0]}: {getattr(error, 'strerror', None) or error}"
    await program.to_its_end(given.timeout)
    if program.late:
        return f"{given.command[0]} took longer than {given.timeout:g} s"
    if program.code:
        lines = program.complaint.decode(errors="replace").strip().splitlines()
        said = f": {printable(lines[-1])[:LONGEST_WORDS]}" if lines else ""
        return f"{given.command[0]} failed with exit code {program.code}{said}"
    return ""


def _colons(mac: str) -> str:
    return ":".join(mac[at : at + 2] for at in range(0, 12, 2))
