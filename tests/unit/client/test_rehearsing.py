"""The drill in the client's process: what it leaves behind, and what it believes."""

from __future__ import annotations

import json
import logging
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.client import drill
from powmonman.client.drill import Rehearsing
from powmonman.config.schema import ClientConfig
from powmonman.config.shutdown_keys import Shutdown
from powmonman.core import drill as core
from powmonman.core.messages import Drill, Policy, State, UpsNews
from powmonman.core.plan import Now, Phase, Plan, Rules
from powmonman.core.power import PowerState
from powmonman.service.clock import boot_id, boottime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAINS, BATTERY = UpsNews(PowerState.ON_MAINS), UpsNews(PowerState.ON_BATTERY, outage="d")
REAL = Plan(power=PowerState.ON_MAINS, fresh_until=1e9)


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of root's result."""
    place = tmp_path / "result.json"
    monkeypatch.setattr(drill, "RESULT", place)
    return place


@pytest.fixture
def part(tmp_path: Path, result: Path) -> Iterator[Rehearsing]:  # noqa: ARG001
    config = ClientConfig(
        runtime_dir=str(tmp_path), shutdown=Shutdown(via="unit"), port=free_port()
    )
    one = Rehearsing(config, Rules(min_observe=0, confirm=0, after=1.0))
    yield one
    one.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])


def say(part: Rehearsing, made_up: UpsNews, at: float, id_: str = "d") -> None:
    state = State("s", 15.0, Policy(after=1.0), {"ups": MAINS}, Drill(id_, {"ups": made_up}, 20.0))
    before = replace(REAL, pings=((0, at),))
    part.heard(state, before, REAL, Now(at, at))


def commits(part: Rehearsing) -> None:
    """Take the drill as far as its commit."""
    say(part, MAINS, 100.0)
    say(part, BATTERY, 100.1)
    say(part, BATTERY, 100.3)
    part.passed(REAL, Now(100.4, 100.4))
    assert part.news() is not None
    assert part._part.plan.phase is Phase.COMMITTED


def test_the_commit_asks_for_a_check_and_for_nothing_else(part: Rehearsing, tmp_path: Path) -> None:
    commits(part)
    assert [file.name for file in tmp_path.iterdir()] == ["shutdown-check"]
    assert part._said is not None
    assert (part._said.phase, part._said.checked) == ("committed", False)


def test_roots_result_is_told_once_it_is_of_this_check(part: Rehearsing, result: Path) -> None:
    def wrote(**values: Any) -> None:
        kept = {"boot_id": boot_id(), "began": boottime(), "faults": ["no x"], "wake_armed": True}
        result.write_text(json.dumps(kept | values), encoding="utf-8")
        part.passed(REAL, Now(100.5, 100.5))

    wrote()
    before = boottime()
    commits(part)
    for stale in ({"began": before - 1}, {"boot_id": "x"}, {"began": "soon"}, {"began": None}):
        wrote(**stale)
        assert part.news() is None
    wrote()
    news = part.news()
    assert news is not None
    assert (news.checked, news.faults, news.wake_armed) == (True, ("no x",), True)


@pytest.mark.parametrize("body", ['{"faults": 3}', '{"faults": {"a": 1}}', "{}"])
def test_a_result_that_makes_no_sense_is_a_fault(part: Rehearsing, result: Path, body: str) -> None:
    commits(part)
    kept = json.loads(body) | {"boot_id": boot_id(), "began": boottime()}
    result.write_text(json.dumps(kept), encoding="utf-8")
    part.passed(REAL, Now(100.5, 100.5))
    news = part.news()
    assert news is not None
    assert news.faults == ("the result of the check can't be read",)


def test_without_an_answer_the_unit_is_named(
    part: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits(part)
    monkeypatch.setattr(drill, "CHECK_WITHIN", 0.0)
    time.sleep(0.01)
    part.passed(REAL, Now(100.5, 100.5))
    news = part.news()
    assert news is not None
    assert "is powmonman-shutdown-check.path active?" in news.faults[0]


def test_a_full_disk_is_a_fault_and_nothing_more(
    part: Rehearsing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    part.reconfigure(
        ClientConfig(runtime_dir=str(tmp_path / "gone"), shutdown=Shutdown(via="unit")), part._rules
    )
    commits(part)
    assert part._said is not None
    assert part._said.checked
    assert "No such file or directory" in caplog.text


def test_a_magic_packet_for_this_host_is_heard_another_is_not(
    part: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill.connector, "mac_addresses", lambda: ("02:00:00:00:00:07",))
    say(part, MAINS, 100.0)
    port = part._config.port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for mac in ("020000000008", "020000000007"):
            part.passed(REAL, Now(100.1, 100.1))
            assert not part._wake_heard
            packet = b"\xff" * 6 + bytes.fromhex(mac) * 16
            sock.sendto(packet, ("127.0.0.1", port))
            time.sleep(0.1)
    part.passed(REAL, Now(100.2, 100.2))
    news = part.news()
    assert news is not None
    assert news.wake_heard


def test_of_a_drill_that_the_server_does_not_name_nothing_is_said(part: Rehearsing) -> None:
    commits(part)
    state = State("s", 15.0, Policy(), {"ups": MAINS})
    part.heard(state, REAL, REAL, Now(100.5, 100.5))
    part.reconnected()
    assert part.news() is None
    assert part.wake_at is None


def test_a_new_drill_begins_with_nothing_checked(part: Rehearsing) -> None:
    commits(part)
    part._found({"faults": []})
    say(part, MAINS, 101.0, "e")
    news = part.news()
    assert news is not None
    assert (news.id, news.checked) == ("e", False)
    assert core.LONGEST == 4 * 3600


def test_an_error_in_the_drill_costs_the_drill_alone(
    part: Rehearsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the client's turn an error would cost the connection, and so the news of the power."""
    commits(part)

    def fails(*_: Any) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(drill.drill, "passed", fails)
    part.passed(REAL, Now(100.5, 100.5))
    news = part.news()
    assert news is not None
    assert news.reason.startswith("an error that nobody thought of")
    assert part.wake_at is None
