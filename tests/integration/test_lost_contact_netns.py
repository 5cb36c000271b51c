"""Hosts that are cut off, by a link that is really dead and a gateway that is really silent.

Server and gateway stand at one end of a cable, the clients at the other. Times are scaled: the
least time for `shutdown_after` is lowered in these processes alone, and they look more often.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client.telling import VIEW
from powmonman.service.files import read_json

from .cable import Cable, ip, lay
from .daemon import Daemon, clean_environment, program, wait_for
from .stage import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .fleet import Fleet

SERVER, GATEWAY, WITNESS = "10.99.0.1", "10.99.0.254", "10.99.0.77"
LEASE, AFTER = 3.0, 3.0
# A machine that stalls begins the count anew, and that takes as long as it takes.
WHILE = 40.0
COUNTS = "contact lost for .* on_lost_contact: shutdown in"
SCALED = """
from dataclasses import fields
from pathlib import Path
from powmonman.client import evidence
from powmonman.config import lost_contact_keys as keys
evidence.LOOK_EVERY, evidence.PATIENCE = 0.5, 0.4
evidence.SUPPLIES = Path("/nonexistent/power_supply")
for part in fields(keys.LostContact):
    if part.name == "shutdown_after":
        object.__setattr__(part.metadata["key"], "minimum", 1.0)
"""
# A look whenever a line comes in; `met ADDRESS` first, as when the server is heard.
LOOKS = """
import json, sys, time
from pathlib import Path
from powmonman.client import evidence
from powmonman.config.lost_contact_keys import LostContact
evidence.SUPPLIES, evidence.PATIENCE = Path(sys.argv[1]), 0.8
kinds = ("no_carrier", "gateway_silent", "own_battery", "witness_silent")
eyes = evidence.Evidence(LostContact(300.0, kinds, tuple(sys.argv[2:])), "", lambda: None)
print(json.dumps([]), flush=True)
for line in sys.stdin:
    if line.startswith("met"):
        eyes.met(line.split()[1])
        continue
    eyes.want(True)
    while not (found := list(eyes.found())):
        time.sleep(0.02)
    eyes.want(False)
    facts, _ = found[-1]
    print(json.dumps({fact.kind: [fact.holds, fact.text, fact.mark] for fact in facts}), flush=True)
"""


class Site(Cable):
    """The server's end, with a gateway and a witness, and the end of the hosts."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.pi, self.nas = (f"powmonman-{side}-{os.getpid()}-{name}" for side in ("pi", "nas"))

    def lay(self) -> None:
        super().lay()
        for address in (SERVER, GATEWAY, WITNESS):
            self.address(self.pi, f"{address}/24")
        self.address(self.nas, "10.99.0.2/24")
        ip("-n", self.nas, "link", "set", "lo", "up")
        ip("-n", self.nas, "route", "add", "default", "via", GATEWAY)
        # Else an entry that was good stays so for half a minute.
        near = "net.ipv4.neigh.lan0"
        times = {"base_reachable_time_ms": 300, "delay_first_probe_time": 0, "retrans_time_ms": 100}
        for name, value in {**times, "ucast_solicit": 1, "mcast_solicit": 1}.items():
            setting = f"{near}.{name}={value}"
            command = ["ip", "netns", "exec", self.nas, "sysctl", "-qw", setting]
            subprocess.run(command, check=True, capture_output=True)

    def far(self, state: str) -> None:
        """Switch the far end on or off: the hosts' link loses its carrier."""
        ip("-n", self.pi, "link", "set", "lan0", state)


class Eyes:
    """The evidence of one host, looked for on demand."""

    def __init__(self, site: Site, supplies: Path) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", site.nas, sys.executable, "-c", LOOKS, str(supplies), WITNESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment({}),
        )
        self._answer()

    def meet(self) -> None:
        assert self._process.stdin is not None
        print("met", SERVER, file=self._process.stdin, flush=True)

    def look(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        print("look", file=self._process.stdin, flush=True)
        facts: dict[str, Any] = self._answer()
        return facts

    def see(self, kind: str) -> bool | None:
        holds: bool | None = self.look()[kind][0]
        return holds

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        with self._process:
            self._process.kill()


@pytest.fixture
def site() -> Iterator[Site]:
    yield from lay(Site("eyes"))


@pytest.fixture
def supplies(tmp_path: Path) -> Path:
    battery = tmp_path / "supplies" / "BAT0"
    battery.mkdir(parents=True)
    for name, text in (("type", "Battery"), ("status", "Full"), ("present", "1")):
        (battery / name).write_text(f"{text}\n")
    return battery.parent


@pytest.fixture
def eyes(site: Site, supplies: Path) -> Iterator[Eyes]:
    eyes = Eyes(site, supplies)
    try:
        yield eyes
    finally:
        eyes.close()


def test_what_a_host_sees_by_itself(site: Site, eyes: Eyes, supplies: Path) -> None:
    """Each kind of evidence where it does not hold, where it does, and where nobody can tell."""
    before = eyes.look()
    assert before["witness_silent"][0] is False
    eyes.meet()
    facts = eyes.look()
    assert [holds for holds, _, _ in facts.values()] == [False, False, False, False]
    assert facts["no_carrier"][1] == "carrier on lan0"
    assert GATEWAY in facts["gateway_silent"][1]

    # The gateway and the witness die behind a living link.
    for address in (GATEWAY, WITNESS):
        site.address(site.pi, f"{address}/24", "del")
    wait_for("the gateway is silent to ARP", lambda: eyes.see("gateway_silent"))
    facts = eyes.look()
    assert facts["no_carrier"][0] is False
    assert facts["witness_silent"][:2] == [True, f"witness {WITNESS} is silent"]

    # The battery begins to discharge, and then can't be read.
    (supplies / "BAT0" / "status").write_text("Discharging\n")
    assert eyes.see("own_battery") is True
    (supplies / "BAT0" / "status").unlink()
    assert eyes.see("own_battery") is None

    # The switch dies.
    mark = facts["no_carrier"][2]
    site.far("down")
    facts = eyes.look()
    assert facts["no_carrier"][:2] == [True, "no carrier on lan0"]
    assert facts["no_carrier"][2] != mark
    assert facts["gateway_silent"][0] is True
    assert facts["witness_silent"][0] is True
    # Some network managers take the addresses away then, and with them all routes.
    ip("-n", site.nas, "addr", "flush", "dev", "lan0")
    facts = eyes.look()
    assert [facts[kind][0] for kind in ("no_carrier", "gateway_silent", "witness_silent")] == [
        True
    ] * 3
    # A link that was switched off here is none that has died.
    ip("-n", site.nas, "link", "set", "lan0", "down")
    facts = eyes.look()
    assert [facts[kind][0] for kind in ("no_carrier", "gateway_silent", "witness_silent")] == [
        None
    ] * 3


def test_who_has_never_met_anybody_can_tell_little(site: Site, eyes: Eyes) -> None:
    """A witness that has never answered may be a mistyped address; no route, and nothing to ask."""
    site.address(site.pi, f"{WITNESS}/24", "del")
    ip("-n", site.nas, "route", "del", "default")
    facts = eyes.look()
    assert facts["gateway_silent"][:2] == [None, "no default gateway is known"]
    assert facts["witness_silent"][0] is None
    assert facts["no_carrier"][0] in (None, False)


class Cut:
    """A fleet at both ends of the cable."""

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self.site, self.fleet = site, fleet
        scaled = fleet.path("scaled")
        scaled.mkdir()
        (scaled / "sitecustomize.py").write_text(SCALED)
        self._scaled = f"{scaled}:{program()}"
        self.server = fleet.server(lease=LEASE, listen__address=SERVER)
        self.server.prefix = ["ip", "netns", "exec", site.pi]

    def client(self, name: str, *only_if: str, **changes: Any) -> Daemon:
        chosen = {"shutdown_after": AFTER, "only_if": list(only_if)} if only_if else {}
        options = {"servers": [f"{SERVER}:{self.fleet.port}"], "on_lost_contact": chosen}
        client = self.fleet.client(name, **{**options, **changes})
        client.prefix = ["ip", "netns", "exec", self.site.nas]
        client.environment["PYTHONPATH"] = self._scaled
        return client

    def asks(self, tool: str, daemon: Daemon) -> subprocess.CompletedProcess[str]:
        """Run a tool on a host that is cut off."""
        command = [*daemon.prefix, sys.executable, "-m", "powmonman", tool]
        return subprocess.run(
            [*command, "--config", str(daemon.config)],
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(daemon.environment),
        )


@contextmanager
def cut_at(name: str, fleet: Fleet) -> Iterator[Cut]:
    with contextmanager(lay)(Site(name)) as site:
        yield Cut(site, fleet)


def more(daemon: Daemon, pattern: str, act: Callable[[], None]) -> None:
    """Act, and wait until it has said so once more; a machine that stalls may say so again."""
    before = len(daemon.said(pattern))
    act()
    wait_for(f"once more: {pattern}", lambda: len(daemon.said(pattern)) > before, WHILE)


def counts(daemon: Daemon) -> str:
    """Return what a host that counts shows of it."""
    shown = view(daemon)
    return str(shown["lost_contact"]) if shown.get("phase") == "counting" else ""


def view(daemon: Daemon) -> dict[str, Any]:
    return read_json(daemon.runtime / VIEW) or {}


@together
def test_a_host_that_is_cut_off_goes_by_its_own_evidence_and_no_other_does(fleet: Fleet) -> None:
    """The server dies; then the gateway; then the switch. Each host goes by what it was given."""
    with cut_at("goes", fleet) as cut:
        gate = cut.client("nas", "gateway_silent")
        both = cut.client("web", "gateway_silent", "no_carrier")
        battery = cut.client("db", "gateway_silent", "no_carrier", "own_battery")
        plain = cut.client("mail")
        # It is booted without a server: nothing is known to it, ever.
        booted = cut.client("lab", "no_carrier", servers=["10.99.0.200:7444"])
        met = (gate, both, battery, plain)
        booted.start()
        fleet.up(cut.server, *met)

        cut.server.kill()
        for client in met:
            client.says("no contact with the server · last known on mains")
        gate.says(f"on_lost_contact: no shutdown: gateway {GATEWAY} answers")
        both.says("on_lost_contact: no shutdown: .*carrier on lan0")
        wait_for("it is shown", lambda: "no shutdown" in view(gate).get("lost_contact", ""))
        assert fleet.history == []

        cut.site.address(cut.site.pi, f"{GATEWAY}/24", "del")
        line = gate.says("contact lost for .* on_lost_contact: shutdown in")
        assert f"evidence: gateway {GATEWAY} is silent to ARP" in line
        shown = wait_for("it is shown", lambda: counts(gate))
        assert "on_lost_contact: shutdown in" in shown
        fleet.down("nas", WHILE)
        gate.says("shutting down now · on_lost_contact: no contact for")
        # Written after the request, by a thread.
        kept = wait_for("its diary", lambda: read_json(gate.state / "diary.json"))
        assert [entry["kind"] for entry in kept["entries"]] == ["contact_lost", "committed"]
        assert fleet.ran("web") == []
        for tool, stream in (("status", "stderr"), ("verify", "stdout")):
            said = getattr(cut.asks(tool, battery), stream)
            assert "contact lost for" in said
            assert "on_lost_contact: no shutdown:" in said

        cut.site.far("down")
        both.says("contact lost for .* on_lost_contact: shutdown in .*no carrier on lan0")
        cut.site.far("up")
        both.says("shutdown cancelled with .* carrier on lan0|the evidence broke between two looks")
        cut.site.far("down")
        fleet.down("web", WHILE)
        fleet.down("lab", WHILE)
        booted.says("the power was never known: on_lost_contact: shutdown once all of this")

        # By then the others would have gone too, had they counted.
        time.sleep(AFTER)
        assert {ran.host for ran in fleet.history} == {"nas", "web", "lab"}
        plain.says("nothing is shut down; this host is not protected")
        battery.says("on_lost_contact: no shutdown: .*own battery")


@together
def test_contact_that_comes_back_ends_the_count(fleet: Fleet) -> None:
    """On mains it stays up; on battery the usual countdown goes on. Nobody waits out the 60 s."""
    with cut_at("back", fleet) as cut:
        nas = cut.client("nas", "no_carrier", on_lost_contact__shutdown_after=60)
        fleet.up(cut.server, nas)
        for outage in (False, True):
            more(nas, COUNTS, lambda: cut.site.far("down"))
            assert fleet.history == []
            if outage:
                fleet.mains("off")
                cut.server.says("on battery")
            more(nas, "shutdown cancelled with", lambda: cut.site.far("up"))
            wait_for("it is in contact", lambda: view(nas).get("connected"), WHILE)
        nas.says("on battery · outage")
        fleet.down("nas", WHILE)
        assert not nas.said("shutting down now · on_lost_contact")
