"""One outage on the stage: what the server says, who is off, and what the waker hears."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stage import PATIENCE, Stage
from waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = dict[str, dict[str, Any]]

SERVER = "pi"
WEB = ["web1", "web2"]
HANGS = "web2"
HYPERVISOR = "hypervisor"
NAS = "nas"
GOING = [*WEB, HYPERVISOR, NAS]
QUIET = 4.0
LONGEST = 60.0
WENT = "/srv/went"
COMMITS = ("journalctl", "--unit=powmonman-client", "--output=json", "--grep=shutting down now")


class Watch:
    """What the server says of each host whenever that changes, and when each host is off.

    Attributes:
        asked: When the server was last asked.
        story: Of each host: when, and what was said of it: whether it is connected, its phase, and
            how far it has come in the recovery.
        off: When each host was first seen powered off.
        finished: The same as podman wrote it down.
        came: When the server first counted each host as back, since the mains are.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.rows: Rows = {}
        self.asked = 0.0
        self.story: dict[str, list[list[Any]]] = {host: [] for host in GOING}
        self.off: dict[str, float] = {}
        self.finished: dict[str, float] = {}
        self.came: dict[str, float] = {}

    def look(self) -> Rows:
        """Ask once; a server that is dead for the moment has said nothing new."""
        stage = self._stage
        for host in stage.note_exits(self.off):
            if host not in self.finished:
                self.finished[host] = stage.moment(stage.fleet.finished(host))
        self.asked = stage.at()
        try:
            report = stage.status(SERVER)
        except ValueError:
            return self.rows
        self.rows = {row["name"]: row for row in report["clients"]}
        recovery = {row["name"]: row["phase"] for row in report["recovery"]["hosts"]}
        for host, told in self.story.items():
            row = self.rows[host]
            said = [row["connected"], row["phase"], recovery.get(host, "")]
            if not told or told[-1][1:] != said:
                told.append([stage.at(), *said])
            if said == [True, "idle", "back"]:
                self.came.setdefault(host, stage.at())
        return self.rows

    def until(self, what: str, met: Callable[[Rows], bool], limit: float = LONGEST) -> Rows:
        """Look until `met`; return what was seen."""
        return self._stage.until(what, self.look, met, limit)


class Act:
    """One outage from the loss of the mains until everybody is back, and what was seen of it."""

    def __init__(self, stage: Stage, lose: dict[str, int] | None = None) -> None:
        self.stage = stage
        self.watch = Watch(stage)
        self.waker = Waker.of(stage.fleet, lose)
        self.record: dict[str, Any] = {"boot_ids_before": stage.boot_ids(), "killed": []}

    def lose_the_mains(self) -> None:
        """Pull the plug, and note between which moments each deadline lies."""
        stage = self.stage
        self.record["lost"] = mains(stage, "off")

        def counting(rows: Rows) -> bool:
            return all(rows[host]["phase"] == "counting" for host in GOING)

        rows = self.watch.until("everybody counts", counting, PATIENCE)
        # The answer is younger than the question and older than its arrival.
        moments = (self.watch.asked, stage.at())
        self.record["outage"] = rows[NAS]["outage"]
        self.record["due"] = {
            host: [round(moment + rows[host]["left"], 2) for moment in moments] for host in GOING
        }

    def put_the_mains_back(self) -> None:
        """Put the plug back; who was back after an earlier outage doesn't count."""
        self.record["returned"] = mains(self.stage, "on")
        self.watch.came.clear()

    def until_off(self, *hosts: str) -> None:
        """Wait until they are off."""
        self._until(hosts, "off", self.watch.off)

    def until_back(self, *hosts: str) -> None:
        """Wait until the server counts them as back."""
        self._until(hosts, "back", self.watch.came)

    def _until(self, hosts: tuple[str, ...], word: str, seen: dict[str, float]) -> None:
        self.watch.until(f"{', '.join(hosts)} {word}", lambda _: seen.keys() >= set(hosts))

    def kill_the_server(self) -> None:
        """Kill it; systemd starts it again."""
        unit = "powmonman-server.service"
        self.stage.fleet.run(SERVER, "systemctl", "kill", "--signal=KILL", unit)
        self.record["killed"].append(self.stage.at())

    def look_on(self) -> None:
        """Watch for a while."""
        end = time.monotonic() + QUIET
        while time.monotonic() < end:
            self.watch.look()
            time.sleep(0.1)

    def end(self) -> dict[str, Any]:
        """Return what was seen."""
        stage, watch, lost = self.stage, self.watch, self.record["lost"]
        return {
            **self.record,
            "committed": since(lost, committed(stage)),
            "went": since(lost, went(stage)),
            "off": watch.off,
            "finished": watch.finished,
            "came": watch.came,
            "story": watch.story,
            "boot_ids_after": stage.boot_ids(),
            "states": stage.fleet.states(),
            **heard(stage, self.waker),
        }


def mains(stage: Stage, word: str) -> float:
    """Pull the plug, or put it back; return when."""
    stage.fleet.run(SERVER, "powmonman", "simulate", word)
    return stage.at()


def went(stage: Stage) -> dict[str, list[float]]:
    """Return when each host ran its commands, as it wrote down itself; one moment each time."""
    return {
        host: [stage.moment(float(line)) for line in stage.fleet.run(host, "cat", WENT).split()]
        for host in GOING
    }


def committed(stage: Stage) -> dict[str, list[float]]:
    """Return when each host committed, as its journal says; one moment each time."""
    told = {host: stage.fleet.run(host, *COMMITS).splitlines() for host in GOING}
    return {
        host: [stage.moment(int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6) for line in lines]
        for host, lines in told.items()
    }


def since(lost: float, moments: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return what belongs to this outage."""
    return {host: [at for at in all_of_it if at > lost] for host, all_of_it in moments.items()}


def heard(stage: Stage, waker: Waker) -> dict[str, Any]:
    """Return what the waker heard and did, by the clock of the record."""
    return {
        "packets": [asdict(each) | {"at": stage.since(each.at)} for each in waker.packets],
        "starts": [
            asdict(each) | {"at": stage.since(each.at), "running": stage.since(each.running)}
            for each in waker.starts
        ],
        "faults": waker.faults,
    }
