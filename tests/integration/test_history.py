"""One record for one outage, whoever was away in the middle of it."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any

from powmonman.core.messages import Diary, Entry, encode
from powmonman.core.timeline import merge
from powmonman.server.archive import MOST_CLAIMS, read

from .daemon import PATIENCE, sleep_until, wait_for
from .peers import HELLO, Caller
from .stage import together

if TYPE_CHECKING:
    from .daemon import Daemon
    from .fleet import Fleet

AFTER = 4.0


def records(fleet: Fleet, server: Daemon) -> list[dict[str, Any]]:
    done = fleet.run("history", "list", "--json", "--config", str(server.config))
    assert 0 == done.returncode, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def story(fleet: Fleet, server: Daemon, outage: str) -> list[dict[str, Any]]:
    done = fleet.run("history", "show", outage, "--json", "--config", str(server.config))
    assert 0 == done.returncode, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)["timeline"]
    return told


def wait_for_word(server: Daemon, kind: str, host: str, **more: Any) -> None:
    """Wait until it is on record; a client may take 20 s until it tries to connect again."""
    wanted = {"kind": kind, "host": host, **more}

    def there() -> bool:
        path = server.state / "history.sqlite"
        return path.exists() and any(
            all(getattr(moment, key) == value for key, value in wanted.items())
            for record in read(path)
            for moment in merge(record.moments)
        )

    wait_for(f"{kind} of {host} on record", there, 3 * PATIENCE)


@together
def test_an_outage_leaves_a_record_that_can_be_read_without_the_server(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=600), fleet.client("nas")
    fleet.up(server, nas)
    assert [] == records(fleet, server)
    fleet.mains("off")
    nas.says("on battery · outage")
    fleet.mains("on")
    nas.says("mains are back")
    wait_for_word(server, "stays", "nas", own=True)
    server.stop()
    (record,) = records(fleet, server)
    assert ("ups", False, "over", []) == (
        record["ups"],
        record["drill"],
        record["ended"],
        record["went"],
    )
    told = [(m["kind"], m["host"]) for m in story(fleet, server, record["id"])]
    assert [
        ("mains_lost", ""),
        ("told", "nas"),
        ("counting", "nas"),
        ("mains_back", ""),
        ("stays", "nas"),
    ] == told
    text = fleet.run("history", "show", record["id"][:4], "--config", str(server.config)).stdout
    assert "+0:00  mains lost on ups" in text
    assert re.search(r"nas counts · (600|59\d) s left", text)


@together
def test_what_the_server_missed_is_handed_over_when_it_is_back(fleet: Fleet) -> None:
    """Killed before the commit and started after it: the host's own word tells the rest."""
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    fleet.up(server, nas)
    lost_at = fleet.mains("off")
    nas.says("on battery · outage")
    sleep_until(lost_at + 1.5)
    server.kill()
    committed = fleet.down("nas") - lost_at
    server.start()
    wait_for_word(server, "committed", "nas", own=True)
    (record,) = records(fleet, server)
    told = story(fleet, server, record["id"])
    said = [(m["kind"], m["host"]) for m in told if m["host"] == "nas"]
    assert 1 == said.count(("committed", "nas"))
    assert 1 == said.count(("counting", "nas"))
    assert ("contact_lost", "nas") in said
    (commit,) = [m for m in told if m["kind"] == "committed"]
    # The clock of a command's trace shows hundredths only.
    assert AFTER - 0.5 <= commit["at"] <= committed + 0.02
    assert ["nas"] == record["went"]
    assert "server_back" in [m["kind"] for m in told]


@together
def test_an_outage_that_only_a_host_knows_of_is_on_record_too(fleet: Fleet) -> None:
    """The server's card was replaced: what it knew of outages is gone."""
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    server.kill()
    fleet.down("nas")
    for path in (*server.state.iterdir(), *server.runtime.iterdir()):
        path.unlink()
    fleet.mains("on")
    server.start()
    wait_for_word(server, "committed", "nas", own=True)
    (record,) = records(fleet, server)
    assert ("nas", ["nas"]) == (record["claimed_by"], record["went"])


@together
def test_a_commit_survives_the_power_cut_and_is_told_by_the_next_boot(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    server.kill()
    fleet.down("nas")
    wait_for("it is on the disk", (nas.state / "diary.json").exists)
    nas.kill()
    for path in nas.runtime.iterdir():
        path.unlink()
    fleet.mains("on")
    nas.start()
    server.start()
    wait_for_word(server, "committed", "nas", own=True)
    wait_for("the diary is empty", lambda: not kept(nas), 3 * PATIENCE)


@together
def test_a_host_that_halts_says_so_in_its_next_boot(fleet: Fleet) -> None:
    """The server is away all the time; the client is stopped, as by a host that goes down."""
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    server.kill()
    fleet.down("nas")
    nas.stop()
    for path in nas.runtime.iterdir():
        path.unlink()
    fleet.mains("on")
    nas.start()
    server.start()
    wait_for_word(server, "halting", "nas", own=True)
    (record,) = records(fleet, server)
    told = [m["kind"] for m in story(fleet, server, record["id"]) if m["own"]]
    assert ["told", "counting", "contact_lost", "committed", "halting"] == told


def kept(client: Daemon) -> list[Any]:
    entries: list[Any] = json.loads((client.state / "diary.json").read_text("utf-8"))["entries"]
    return entries


@together
def test_a_damaged_record_is_set_aside_and_the_outage_is_recorded(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=600), fleet.client("nas")
    (server.state / "history.sqlite").write_bytes(b"not a database at all" * 500)
    fleet.up(server, nas)
    server.says("history.sqlite: .*kept as history.sqlite.damaged, and begun anew")
    fleet.mains("off")
    wait_for_word(server, "counting", "nas")
    assert (server.state / "history.sqlite.damaged").exists()


@together
def test_a_record_that_cannot_be_written_is_a_fault_and_stops_nobody(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    (server.state / "history.sqlite").mkdir()
    fleet.up(server, nas)
    fleet.mains("off")
    server.says("history.sqlite: .* outages are not recorded meanwhile")
    wait_for(
        "a fault",
        lambda: any("history.sqlite" in fault for fault in fleet.report(server)["faults"]),
    )
    fleet.down("nas")


@together
def test_a_stolen_key_makes_no_noise_in_the_record_of_others(fleet: Fleet) -> None:
    """It floods the server with entries of outages that never were, and of other hosts."""
    server, nas = fleet.server(policy__after=600), fleet.client("nas")
    fleet.up(server, nas)
    fleet.mains("off")
    nas.says("on battery · outage")
    wait_for_word(server, "counting", "nas", own=True)
    (before,) = records(fleet, server)
    with Caller(fleet.authority.client("web"), fleet.port) as web:
        web.says(HELLO)
        assert "state" == web.hears()["type"]
        for first in range(1, 2001, 100):
            numbers = range(first, first + 100)
            forged = [Entry(n, f"forged{n}", "committed", 1.0) for n in numbers]
            about_nas = Entry(first + 100, before["id"], "down", 9.0, text="nas")
            web.says(encode(Diary((*forged, about_nas))))
        wait_for_word(server, "note", "web", text="down: nas")
    listed = records(fleet, server)
    assert 1 == sum(not record["claimed_by"] for record in listed)
    assert MOST_CLAIMS >= sum(record["claimed_by"] == "web" for record in listed)
    assert [] == next(record for record in listed if record["id"] == before["id"])["went"]
    server.says("web hands over too much: the rest has to wait")
    fleet.mains("on")
    wait_for_word(server, "stays", "nas", own=True)


@together
def test_a_reader_that_holds_the_file_holds_nobody_up(fleet: Fleet) -> None:
    server, nas = fleet.server(policy__after=AFTER), fleet.client("nas")
    fleet.up(server, nas)
    wait_for("it is there", (server.state / "history.sqlite").exists)
    reader = sqlite3.connect(server.state / "history.sqlite", isolation_level=None)
    wait_for("it has a schema", lambda: reader.execute("PRAGMA user_version").fetchone()[0])
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM outage").fetchall()
    fleet.mains("off")
    fleet.down("nas")
    reader.close()
    wait_for_word(server, "committed", "nas")


@together
def test_a_drill_leaves_a_record_too(fleet: Fleet) -> None:
    server, nas = fleet.server(clients=["nas"]), fleet.client("nas")
    fleet.up(server, nas)
    done = fleet.run("drill", "--config", str(server.config), "--json", "--scale", "4")
    assert 0 == done.returncode, done.stdout + done.stderr
    wait_for_word(server, "note", "")
    (record,) = records(fleet, server)
    assert (True, "over", []) == (record["drill"], record["ended"], record["went"])
    told = story(fleet, server, record["id"])
    assert {"mains_lost", "told", "counting", "rehearsed", "checked", "mains_back", "note"} <= {
        moment["kind"] for moment in told
    }
    (commit,) = [moment for moment in told if moment["kind"] == "rehearsed"]
    assert AFTER <= commit["at"] < AFTER + 10
    text = fleet.run("history", "show", record["id"], "--config", str(server.config)).stdout
    assert text.startswith("drill ")
    assert "1 host protected" in text
