"""A commit while /run is full: of bytes, of inodes, and of both since before the client's start."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

from powmonman.client import stamp

from .cable import unavailable
from .daemon import wait_for
from .fleet import LEASE
from .stage import together

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .daemon import Daemon
    from .fleet import Fleet

SMALL = "size=64k,nr_inodes=24"


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Put a tmpfs with hardly any room there."""
    if os.geteuid() != 0:
        unavailable("needs root to mount a tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", SMALL, "powmonman-test", str(place)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        unavailable(f"no tmpfs here: {done.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def use_up_bytes(place: Path) -> None:
    with contextlib.suppress(OSError), (place / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def use_up_inodes(place: Path) -> None:
    with contextlib.suppress(OSError):
        for number in range(1000):
            (place / f"filler{number}").touch()


def kept_phase(nas: Daemon) -> str:
    phase: str = json.loads((nas.runtime / "plan.json").read_text("utf-8"))["plan"]["phase"]
    return phase


def commits_once(fleet: Fleet, nas: Daemon, place: Path, *, bytes_too: bool) -> None:
    """It asks, and the next client knows that it has been asked for."""
    flag = place / "shutdown"
    wait_for("the reserve", (place / "shutdown.reserved").exists)
    use_up_inodes(place)
    if bytes_too:
        use_up_bytes(place)
    fleet.mains("off")
    wait_for("the request", flag.exists)
    made = stamp.read(flag)
    assert made
    assert "the server says so" in made.reason
    # As root takes it up, but without giving any room back.
    flag.rename(place / "taken")
    assert kept_phase(nas) == "committed"
    nas.says("shutting down now")
    nas.kill()
    nas.start().says("resumed: committed")
    nas.says("server found")
    time.sleep(0.5)
    assert not flag.exists()
    # It may have been killed before it could say so.
    assert len(nas.said("shutdown requested")) <= 1
    assert len(nas.said("shutting down now")) == 1


@together
def test_a_commit_without_a_byte_left_is_made_once(fleet: Fleet) -> None:
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", shutdown__via="unit")
    with small_disk(nas.runtime) as place:
        fleet.up(server, nas)
        commits_once(fleet, nas, place, bytes_too=True)
        nas.cleanup()


@together
def test_a_commit_without_an_inode_left_is_made_once(fleet: Fleet) -> None:
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", shutdown__via="unit")
    with small_disk(nas.runtime) as place:
        fleet.up(server, nas)
        commits_once(fleet, nas, place, bytes_too=False)
        nas.cleanup()


@together
def test_a_client_that_never_had_room_commits_all_the_same(fleet: Fleet) -> None:
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", "backup", shutdown__via="unit")
    with small_disk(nas.runtime) as place:
        use_up_bytes(place)
        use_up_inodes(place)
        fleet.up(server, nas)
        assert not (place / "shutdown.reserved").exists()
        fleet.mains("off")
        fleet.down("nas")
        time.sleep(0.5)
        assert fleet.ran("nas") == ["backup", "poweroff"]
        nas.cleanup()


@together
def test_a_request_that_was_left_behind_is_removed_and_decided_anew(fleet: Fleet) -> None:
    """The client was killed while nobody took it up; the next one comes long after."""
    server = fleet.server(policy__after=LEASE)
    nas = fleet.client("nas", shutdown__via="unit")
    fleet.up(server, nas)
    fleet.mains("off")
    flag = nas.runtime / "shutdown"
    wait_for("the request", flag.exists)
    nas.kill()
    made = json.loads(flag.read_text("utf-8"))
    flag.write_text(json.dumps({**made, "at": made["at"] - 301}), encoding="utf-8")
    fleet.mains("on")
    wait_for("the mains", lambda: fleet.report(server)["upses"]["ups"]["state"] == "on_mains")
    nas.start().says("a request for a shutdown that was left behind is void")
    assert not flag.exists()
    nas.says("shutdown cancelled")
    fleet.mains("off")
    wait_for("the request of the next outage", flag.exists)
    assert fleet.history == []
