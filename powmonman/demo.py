"""`powmonman demo`: the real roll-out on a small stage, and a plug to pull.

The same `site.yml` and roles, with `inventory.demo`: five "hosts" on this machine, each in a
directory below `.demo/`. Their shutdown commands write to a file and do nothing else. Times are
scaled. A host that has powered off is played by its client, which ends. Whatever happens, Ctrl-C
included, nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import powmonman
from powmonman import history
from powmonman.config.loader import load
from powmonman.config.schema import ClientConfig, ServerConfig
from powmonman.sensors.simulated import render as render_simulated
from powmonman.service.process import ProcessError, stop
from powmonman.simulate import write
from powmonman.status import StatusError, fetch, render
from powmonman.table import table
from powmonman.watch import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(powmonman.__file__).resolve().parent.parent
STAGE = ROOT / ".demo"
SERVER = STAGE / "pi" / "etc" / "powmonman" / "server.yml"
LONGEST = 90.0
# The last word of a host, as inventory.demo has it.
POWER_OFF = "power off"
USUAL_AFTER = 600.0


class DemoError(Exception):
    """The demo can't go on; the text says why and what helps."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `powmonman demo`."""
    parser.add_argument("--keep", action="store_true", help="keep .demo/ to look at afterwards")


def run(args: argparse.Namespace) -> int:
    """Roll out, pull the plug, tell what happened; 0 if every host did what it should."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _clean_up(keep=False)
        _roll_out()
        with Screen() as screen:
            story = Story(screen)
            story.play()
        return story.judge()
    except DemoError as error:
        print(f"powmonman demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _clean_up(keep=args.keep)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _roll_out() -> None:
    beside = Path(sys.executable).parent / "ansible-playbook"
    playbook = str(beside) if beside.exists() else shutil.which("ansible-playbook")
    if not (ROOT / "inventory.demo").is_dir():
        raise DemoError("it needs a clone of the repository, with the roles and inventory.demo")
    if playbook is None:
        raise DemoError("ansible-playbook is missing: run it with `make demo`")
    print("Rolling out to five hosts below .demo/, with the roles of a real roll-out.\n")
    STAGE.mkdir(exist_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        [playbook, "-i", "inventory.demo", "site.yml"],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(STAGE / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(STAGE / "ansible" / "remote"),
        },
        # Ctrl-C reaches the demo alone, which then ends the roll-out with all its workers.
        start_new_session=True,
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end_roll_out(process)
        raise
    if code != 0:
        raise DemoError("the roll-out failed; the reason stands above")
    print(f"\nRolled out in {time.monotonic() - began:.0f} s.")


def _end_roll_out(process: subprocess.Popen[bytes]) -> None:
    """Ansible's workers have sessions of their own: it ends them itself, if it is asked."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _clean_up(*, keep: bool) -> None:
    """Stop every process that a demo started, this one or one that was killed."""
    for pid_file in STAGE.glob("*/run/powmonman/*.pid"):
        with contextlib.suppress(ProcessError):
            stop(pid_file, wait=5.0)
    # What was interrupted while it started has no process file yet.
    for pid in _on_stage():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    if not keep:
        shutil.rmtree(STAGE, ignore_errors=True)


def _on_stage() -> list[int]:
    """Return the processes whose command line names the stage."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{STAGE}/".encode() in (directory / "cmdline").read_bytes():
                found.append(int(directory.name))
    return found


class Story:
    """A blip, a short outage, and one that lasts."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._server = load(SERVER, ServerConfig)
        (self._ups,) = self._server.upses.values()
        self._clients = {
            path.parts[-4]: load(path, ClientConfig)
            for path in sorted(STAGE.glob("*/etc/powmonman/client.yml"))
        }
        self._lost = 0.0
        self._spent = 0.0
        self._down: dict[str, float] = {}
        self._off: set[str] = set()
        self._outage = ""
        self._faults: list[str] = []

    def play(self) -> None:
        """Pull the plug three times."""
        self._plug("on")
        self._watch("The mains are on. Every host is connected.", self._all_are("idle"), 20)

        blip = self._ups.confirm / 2
        self._plug("off")
        time.sleep(blip)
        self._plug("on")
        text = f"A blip of {blip:g} s is shorter than `confirm`: nobody counts."
        self._watch(text, lambda report: not self._all_are("idle")(report), 3, expected=False)

        self._plug("off")
        self._watch("The plug is pulled. Every host counts down.", self._all_are("counting"), 10)
        self._watch("The plug is pulled. Every host counts down.", lambda _: False, 3, bound=False)
        self._plug("on")
        text = "The mains are back in time. Nobody goes down."
        self._watch(text, self._all_are("idle"), 15)
        self._watch(text, lambda _: False, 2, bound=False)
        if self._down:
            self._faults.append(f"went down although the mains returned: {', '.join(self._down)}")

        self._spent = max(ups["spent"] for ups in fetch(SERVER)["upses"].values())
        self._plug("off")
        self._lost = time.monotonic()
        text = "The plug is pulled for good. The shutdown commands write to a file, no more."
        self._watch(text, self._all_are("committed", "halting"), LONGEST)
        text = "Whoever has powered off is down once its silence has lasted for `settle`."
        self._watch(text, self._mortal_are_down, 15)
        # The server writes its record within a second.
        self._watch(text, lambda _: False, 2, bound=False)
        self._outage = next(iter(fetch(SERVER)["upses"].values()))["outage"]

    def _plug(self, mains: str) -> None:
        write(Path(self._ups.simulated.file), render_simulated(mains, low_battery=False))

    def _mortal_are_down(self, report: dict[str, Any]) -> bool:
        mortal = {name for name, config in self._clients.items() if not config.dry_run}
        down = {host["name"] for host in report["clients"] if host["down"]}
        return mortal <= down

    def _all_are(self, *phases: str) -> Callable[[dict[str, Any]], bool]:
        def holds(report: dict[str, Any]) -> bool:
            now = {host["name"]: host["phase"] for host in report["clients"]}
            return all(now.get(name) in phases for name in self._clients)

        return holds

    def _watch(
        self,
        text: str,
        until: Callable[[dict[str, Any]], bool],
        seconds: float,
        *,
        expected: bool = True,
        bound: bool = True,
    ) -> None:
        """Show the table until `until` holds, for `seconds` at most; it should come to hold."""
        end = time.monotonic() + seconds
        scale = USUAL_AFTER / self._server.policy.after
        head = [f"PowMonMan demo · times are scaled, {scale:.0f} times faster than usual", text, ""]
        held = False
        while not held and time.monotonic() < end:
            with contextlib.suppress(StatusError):
                report = fetch(SERVER)
                phases = tuple((host["phase"], host["down"]) for host in report["clients"])
                self._screen.show([*head, *render(report)], key=(text, phases))
                held = until(report)
            self._look_for_the_fallen()
            time.sleep(0.1)
        if bound and held is not expected:
            self._faults.append(f"not as it should be: {text}")

    def _look_for_the_fallen(self) -> None:
        for name in self._clients:
            file = STAGE / name / "shutdown.log"
            if not file.exists():
                continue
            self._down.setdefault(name, time.monotonic() - self._lost if self._lost else 0.0)
            if name not in self._off and POWER_OFF in file.read_text("utf-8"):
                self._off.add(name)
                with contextlib.suppress(ProcessError):
                    stop(STAGE / name / "run" / "powmonman" / "client.pid", wait=5.0)

    def judge(self) -> int:
        """Print what became of every host; return 0 if that is what should have."""
        rows = []
        for name, config in self._clients.items():
            after = config.policy.after or self._server.policy.after
            came = self._down.get(name)
            if config.dry_run:
                verdict = "stays up: dry run" if came is None else "WENT DOWN in a dry run"
            else:
                verdict = "shut down" if came is not None else "DID NOT GO DOWN"
            if verdict[0].isupper():
                self._faults.append(f"{name}: {verdict}")
            seconds = "-" if came is None else f"{came:.1f} s"
            ran = (STAGE / name / "shutdown.log").read_text("utf-8") if came is not None else "-"
            rows.append((name, f"{after:g} s", seconds, verdict, ", ".join(ran.splitlines())))
            for other in config.wait_for:
                if came is not None and came < self._down.get(other, 0.0):
                    self._faults.append(f"{name} went before {other}, which it waits for")
        print()
        print("\n".join(table(("HOST", "AFTER", "CAME AFTER", "VERDICT", "RAN"), rows)))
        print(
            f"\n{self._spent:.1f} s of battery had been spent in the short outage before. They "
            "count:\na second outage finds a battery that is not full.\n\n"
            "The record, as `powmonman history show` tells it:\n"
        )
        history.run(argparse.Namespace(action="show", id=self._outage, config=SERVER))
        for fault in self._faults:
            print(f"FAULT: {fault}", file=sys.stderr)
        return 1 if self._faults else 0
