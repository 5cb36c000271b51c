"""PowMonMan on a LAN of namespaces: real processes, real TLS, and what `Site` can do to them."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from powmonman.service.clock import boottime

from ..integration.daemon import Daemon, wait_for
from .lan import Lan
from .scenario import PATIENCE, Host, Layout, Need, Phase, Word

if TYPE_CHECKING:
    from ..integration.fleet import Fleet

RUNS = r"listening on|server by"
NEEDS = frozenset(Need)
BOOT_ID = "/proc/sys/kernel/random/boot_id"

PHASES = {
    Phase.IDLE: r"on mains$|mains are back|on mains · |forgotten",
    Phase.COUNTING: r"on battery · outage|resumed: counting",
    Phase.WAITING: r"waiting for \w+|resumed: waiting",
    Phase.COMMITTED: r"shutting down now|resumed: committed",
}
WORDS = {
    Word.CONTACT_LOST: r"no contact with the server|has said nothing for|has left$",
    Word.POWER_UNKNOWN: r"power unknown",
    Word.CANCELLED: r"shutdown cancelled",
    Word.DISK: r"would (be|leave|lose)|not recorded|No space left|Read-only file system",
    Word.FINAL_FAILED: r"the final command failed",
    Word.KILLED_AFTER_TIMEOUT: r"killed after",
    Word.CONTACT_AGAIN: r"fresh news again|server found",
}


class OurSite:
    """A fleet on a LAN; `close` leaves nothing of it."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet = fleet
        self._lan = Lan(number, fleet.path(""))
        self._woken = fleet.path("woken")
        self._daemons: dict[str, Daemon] = {}
        self._boots: dict[str, list[float]] = {}
        self._kept_off: set[str] = set()
        self._off: set[str] = set()
        self._boot_number = 0
        self._losses: list[float] = []
        # A host that is off starts nothing.
        self._switching = threading.Lock()
        self._closing = threading.Event()
        # What a person, or a power button, does on a real site.
        self._life = threading.Thread(target=self._live, name="hosts", daemon=True)

    def lay(self, layout: Layout) -> None:
        self._lan.lay([*layout.servers, *(host.name for host in layout.hosts)])
        for name in layout.servers:
            self._daemons[name] = self._server(name, layout)
        for host in layout.hosts:
            self._daemons[host.name] = self._client(host)
            self._boots[host.name] = []
        if any(host.by_name for host in layout.hosts):
            self._lan.serve_names()
        for name in self._lan.hosts:
            self._furnish(name)
        for name in layout.servers:
            self._daemons[name].start()
        for name in layout.servers:
            self._daemons[name].says("listening on", PATIENCE)
        for host in layout.hosts:
            self._daemons[host.name].start()
        for host in layout.hosts:
            self._daemons[host.name].says("on mains$", PATIENCE)
        self._life.start()

    def _server(self, name: str, layout: Layout) -> Daemon:
        wake = {
            host.name: {
                "method": "command",
                "command": ["sh", "-c", f"echo {host.name} >> {shlex.quote(str(self._woken))}"],
            }
            for host in layout.hosts
        }
        daemon = self.fleet.server(
            "server" if name == "pi" else name,
            clients=[host.name for host in layout.hosts],
            policy__after=layout.after,
            listen__address="",
            announce={"enabled": True, "interval": 0.5},
            order={"settle": 0.5, "gone_after": 5},
            recovery={
                "wake_after": 0.5,
                "reserve": 0,
                "repeat": 1,
                "give_up": 60,
                "hosts": wake,
            },
        )
        daemon.prefix = self._lan.hosts[name].inside
        return daemon

    def _client(self, host: Host) -> Daemon:
        places = self._lan.addresses
        daemon = self.fleet.client(
            host.name,
            *(self._command(host.name, number, what) for number, what in enumerate(host.commands)),
            servers=[f"{name}.lan" if host.by_name else places[name] for name in host.servers],
            discovery={"enabled": not host.servers},
            wait_for=list(host.wait_for),
            wait_timeout=host.wait_timeout,
            shutdown__final=self._final(host),
            **({} if host.after is None else {"policy__after": host.after}),
        )
        daemon.prefix = self._lan.hosts[host.name].inside
        return daemon

    def _command(self, host: str, number: int, what: str) -> dict[str, Any]:
        then = {"work": "", "last": "sleep 2", "hang": "sleep 300", "fail": "exit 1"}
        if what == "missing":
            return {"command": [f"/nowhere/{what}"]}
        limit = 1 if what == "hang" else 30
        return self.fleet.command(host, f"{what}-{number}", then[what], timeout=limit)

    def _final(self, host: Host) -> dict[str, Any]:
        works = self.fleet.command(host.name, "poweroff")
        if host.final == "work":
            return works
        if host.final == "missing":
            return {"command": ["/nowhere/poweroff"]}
        fails = self.fleet.command(host.name, "fails", "exit 1")
        if host.final == "fail":
            return fails
        mark = shlex.quote(str(self.fleet.path(f"{host.name}.failed")))
        first, second = fails["command"][-1], works["command"][-1]
        script = f"if mkdir {mark} 2>/dev/null; then\n{first}\nelse\n{second}\nfi"
        return {"command": ["sh", "-c", script]}

    def _furnish(self, name: str) -> None:
        """Give a host disks of its own, and a boot id."""
        box, daemon = self._lan.hosts[name], self._daemons[name]
        for place in (daemon.state, daemon.runtime):
            box.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
        self._new_boot(name)

    def _new_boot(self, name: str) -> None:
        self._boot_number += 1
        kept = self.fleet.path(f"boot-{self._boot_number}")
        kept.write_text(f"00000000-0000-4000-8000-{self._boot_number:012}\n", "ascii")
        self._lan.hosts[name].mount("--bind", str(kept), BOOT_ID)

    def _live(self) -> None:
        """Let hosts that have run their final command be off, and those that are woken boot."""
        handled, seen = dict.fromkeys(self._boots, 0), 0
        while not self._closing.wait(0.05):
            for name, known in handled.items():
                if len(self.runs(name)) > known:
                    handled[name] = known + 1
                    self._power_off(name)
            wakes = self._wakes()
            waking, seen = wakes[seen:], len(wakes)
            for name in waking:
                if name in self._off and name not in self._kept_off:
                    self._boot(name)

    def _wakes(self) -> list[str]:
        return self._woken.read_text("utf-8").split() if self._woken.exists() else []

    def _power_off(self, name: str) -> None:
        with self._switching:
            self._lan.hosts[name].ip("link", "set", "lan0", "down")
            self._daemons[name].cleanup()
            self._off.add(name)

    def _boot(self, name: str) -> None:
        box, daemon = self._lan.hosts[name], self._daemons[name]
        box.run("sh", "-c", f"rm -f {shlex.quote(str(daemon.runtime))}/*")
        self._new_boot(name)
        box.ip("link", "set", "lan0", "up")
        self._off.discard(name)
        self.start(name)
        self._boots[name].append(boottime())

    def mains(self, *, good: bool) -> float:
        moment = self.fleet.mains("on" if good else "off")
        if not good:
            self._losses.append(moment)
        return moment

    def garble_sensor(self) -> None:
        self.fleet.garble(b"\xff\x00 neither: [on, nor off\n")

    def kill(self, name: str) -> None:
        self._daemons[name].kill()

    def start(self, name: str) -> None:
        daemon = self._daemons[name]
        with self._switching:
            if name in self._off:
                return
            before = len(daemon.said(RUNS))
            daemon.start()

        def runs() -> bool:
            return name in self._off or len(daemon.said(RUNS)) > before

        # Only then does a slow machine owe anything.
        wait_for(f"{name} runs", runs, PATIENCE)

    def pause(self, name: str) -> None:
        self._daemons[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._daemons[name].signal(signal.SIGCONT)

    def link(self, name: str, *, up: bool) -> None:
        if name == "switch":
            self._lan.power(up=up)
        else:
            self._lan.plug(name, up=up)

    def poor_link(
        self, name: str, *, loss: int = 0, delay: int = 0, jitter: int = 0, duplicate: int = 0
    ) -> None:
        self._lan.poor(name, loss=loss, delay=delay, jitter=jitter, duplicate=duplicate)

    def hang_dns(self) -> None:
        self._lan.hang_dns()

    def new_address(self, name: str) -> None:
        self._lan.readdress(name)

    def fill_disk(self, name: str) -> None:
        box, daemon = self._lan.hosts[name], self._daemons[name]
        for place in (daemon.state, daemon.runtime):
            # By small steps in the end, so that not a page is left.
            fill = "for step in 65536 4096 1; do cat /dev/zero | dd bs=$step of={}/fill.$step; done"
            script = fill.format(shlex.quote(str(place)))
            box.run("sh", "-c", f"({script}) 2>/dev/null; true")

    def read_only(self, name: str) -> None:
        box, place = self._lan.hosts[name], str(self._daemons[name].state)
        # A mount on top of it: files that are open for writing would keep the first from it.
        box.mount("--bind", place, place)
        box.mount("-o", "remount,ro,bind", place)

    def reaches(self, name: str, phase: Phase) -> float:
        wait_for(f"{name} is {phase}", lambda: self._phase(name) is phase, PATIENCE)
        if phase is Phase.COMMITTED:
            # Whoever stops the client now must find that something has come of it.
            wait_for(f"{name} runs its commands", lambda: self.fleet.ran(name), PATIENCE)
        return boottime()

    def _phase(self, name: str) -> Phase | None:
        found = None
        for line in self._daemons[name].log.splitlines():
            for phase, pattern in PHASES.items():
                if re.search(pattern, line):
                    found = phase
        return found

    def hears(self, name: str, word: Word) -> None:
        wait_for(f"{name} hears: {word}", lambda: self.said(name, word), PATIENCE)

    def recovering(self, name: str) -> None:
        wait_for(f"{name} is woken", lambda: name in self._wakes(), PATIENCE)

    def keep_off(self, name: str, *, off: bool) -> None:
        if off:
            self._kept_off.add(name)
        else:
            self._kept_off.discard(name)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def until(self, seconds: float) -> None:
        time.sleep(max(0.0, self._losses[0] + seconds - boottime()))

    @property
    def losses(self) -> list[float]:
        return self._losses

    def now(self) -> float:
        return boottime()

    def runs(self, name: str) -> list[float]:
        return [ran.at for ran in self.fleet.history if (ran.host, ran.what) == (name, "poweroff")]

    def boots(self, name: str) -> list[float]:
        return self._boots[name]

    def said(self, name: str, word: Word) -> bool:
        return bool(self._daemons[name].said(WORDS[word]))

    def close(self) -> None:
        self._closing.set()
        with contextlib.suppress(RuntimeError):
            self._life.join(PATIENCE)
        try:
            self.fleet.close()
        finally:
            self._lan.remove()
