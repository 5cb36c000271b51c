"""Links, FIFOs and other people's files where a client keeps its own: nothing is followed.

What lies there when a client or a server starts is in test_state_files; here it comes later.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from powmonman.core.plan import Plan
from powmonman.core.records import to_json
from powmonman.service.clock import boot_id, boottime, now
from tests.attacks.nobody import USER
from tests.integration.stage import together

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.daemon import Daemon
    from tests.integration.fleet import Fleet

AFTER = 3.0


def temporary(client: Daemon, name: str) -> Path:
    """Return where a client writes a file before it takes its name."""
    return client.runtime / f".{name}.{client.pid}"


def lay(path: Path, kind: str, victim: Path) -> None:
    """Put something in a client's way, also if it writes just there at this very moment."""
    while True:
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            put(path, kind, victim)
            return


def put(path: Path, kind: str, victim: Path) -> None:
    match kind:
        case "link":
            path.symlink_to(victim)
        case "second name":
            path.hardlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(2**34)


def goes_on_time(fleet: Fleet, kind: str) -> None:
    """Lay it in every way that a client takes to its shutdown, as soon as it counts."""
    server = fleet.server(policy__after=AFTER)
    nas = fleet.client("nas")
    victim = fleet.path("victim")
    victim.write_text("precious", encoding="utf-8")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    for path in (
        *(temporary(nas, name) for name in ("plan.json", "client.json", "diary.json")),
        *(nas.runtime / f"shutdown{part}" for part in (".reserved", ".prepared", "")),
        *(nas.runtime / name for name in ("plan.json", "client.json", "diary.json")),
    ):
        lay(path, kind, victim)
    assert AFTER - 0.05 <= fleet.down("nas") - lost_at <= AFTER + 2.5
    assert fleet.ran("nas") == ["poweroff"]
    assert victim.read_text("utf-8") == "precious"
    assert nas.said("Traceback") == []


@together
def test_links_in_its_way_lead_a_client_nowhere(fleet: Fleet) -> None:
    goes_on_time(fleet, "link")


@together
def test_a_second_name_of_another_file_is_not_written_through(fleet: Fleet) -> None:
    goes_on_time(fleet, "second name")


@together
def test_a_fifo_holds_no_client_up(fleet: Fleet) -> None:
    goes_on_time(fleet, "fifo")


@together
def test_directories_in_its_way_hold_no_client_up(fleet: Fleet) -> None:
    goes_on_time(fleet, "directory")


@together
def test_a_file_without_end_is_not_read(fleet: Fleet) -> None:
    goes_on_time(fleet, "huge")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@together
def test_a_plan_that_somebody_else_has_laid_is_not_taken_up(fleet: Fleet) -> None:
    """In a directory for all, where anybody could lay one: that of a host about to go."""
    moment = now()
    plan = Plan(
        power="on_battery",  # type: ignore[arg-type]
        phase="counting",  # type: ignore[arg-type]
        outage="f" * 32,
        after=1.0,
        spent=600.0,
        observed=60.0,
        unbroken=60.0,
        silent=600.0,
        lease=1.0,
        last=moment,
    )
    nas = fleet.client("nas")
    kept = nas.runtime / "plan.json"
    nas.runtime.chmod(0o777)
    body = {"boot_id": boot_id(), "plan": to_json(plan)}
    kept.write_text(json.dumps(body), encoding="utf-8")
    os.chown(kept, USER, -1)
    server = fleet.server()
    began = boottime()
    nas.start().says("no connection")
    while boottime() < began + 3:
        assert nas.said("resumed|shutting down") == []
    fleet.up(server)
    nas.says("on mains")
    assert fleet.history == []
