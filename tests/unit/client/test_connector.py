"""How long a client waits between its attempts, and what it says about them."""

from __future__ import annotations

import json
import logging
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from powmonman.client import connector, names
from powmonman.client.connector import Connector, candidates, mac_addresses, remember
from powmonman.client.link import Link, LinkError
from powmonman.config.schema import ClientConfig, Discovery
from powmonman.net.search import Candidate
from powmonman.net.tls import client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

Outcome = Exception | None
Answer = tuple[str, ...] | OSError | threading.Event


@pytest.fixture
def config(tmp_path: Path) -> ClientConfig:
    return ClientConfig(
        servers=("192.0.2.7", "pi.lan:7000"),
        discovery=Discovery(enabled=False),
        state_dir=str(tmp_path),
    )


@pytest.fixture
def context(identities: Path) -> ssl.SSLContext:
    return client_context(identities / "hosts" / "nas.pem")


class Attempts:
    """Attempts to connect whose outcome is written beforehand; the last one ends the connector."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[tuple[float, float]] = []
        self.outcomes: list[Outcome] = []
        self.linked = threading.Event()
        monkeypatch.setattr(Link, "open", self._open)
        monkeypatch.setattr(connector.random, "uniform", self._pause)  # type: ignore[attr-defined]

    def _pause(self, least: float, most: float) -> float:
        self.pauses.append((least, most))
        return 0.0

    def _open(self, *_: object, **__: object) -> object:
        outcome = self.outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return object()

    def play(self, one: Connector, *outcomes: Outcome) -> None:
        """Let `one` run until it has a link."""
        self.outcomes = [*outcomes, None]
        one.start()
        assert self.linked.wait(10)
        one.stop()
        one._thread.join(10)
        assert not one._thread.is_alive()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Attempts:
    return Attempts(monkeypatch)


@pytest.fixture
def one(config: ClientConfig, context: ssl.SSLContext, attempts: Attempts) -> Connector:
    """Return a connector with a single address."""
    config = replace(config, servers=("192.0.2.7",))
    return Connector(config, context, lambda *_: attempts.linked.set())


def test_pauses_grow_to_a_bound_and_are_jittered(one: Connector, attempts: Attempts) -> None:
    attempts.play(one, *[LinkError("Connection refused")] * 6)
    assert attempts.pauses[:7] == [(0, 0), (1, 2), (2, 4), (4, 8), (8, 16), (10, 20), (10, 20)]


def test_a_server_that_refuses_this_host_is_left_in_peace(
    one: Connector, attempts: Attempts
) -> None:
    attempts.play(one, *[LinkError("TLS: no", refused=True)] * 2)
    assert attempts.pauses[:3] == [(0, 0), (10, 20), (10, 20)]


def test_a_connection_that_proved_itself_ends_the_back_off(
    one: Connector, attempts: Attempts
) -> None:
    one._failures = 6
    one.works()
    attempts.play(one, LinkError("Connection refused"))
    assert attempts.pauses[:2] == [(0, 0), (1, 2)]


def test_an_error_that_nobody_thought_of_does_not_end_the_search(
    one: Connector, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    attempts.play(one, RuntimeError("surprise"), LinkError("Connection refused"))
    assert "the search for the server failed; it goes on" in caplog.text


def test_each_reason_is_worth_one_line(
    one: Connector, attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "powmonman.client"):
        refused, timeout = LinkError("Connection refused"), LinkError("timed out")
        attempts.play(one, refused, refused, timeout, timeout, refused)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    prefix = "no connection: 192.0.2.7 port 7444: "
    assert said[:5] == [
        ("WARNING", prefix + "Connection refused"),
        ("DEBUG", prefix + "Connection refused"),
        ("WARNING", prefix + "timed out"),
        ("DEBUG", prefix + "timed out"),
        ("WARNING", prefix + "Connection refused"),
    ]


def test_a_flood_of_forged_servers_does_not_fill_the_log(
    one: Connector, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that are configured had their line before, and get the next one too."""
    one._tell("pi.lan port 7444", "Connection refused")
    for reason in ("timed out", "Connection reset by peer"):
        for number in range(1000):
            one._tell(f"127.7.0.{number} port 7444", reason, once=True)
    one._tell("pi.lan port 7444", "timed out")
    assert len(caplog.records) == connector.MOST_TOLD + 1
    assert caplog.messages[-1] == "no connection: pi.lan port 7444: timed out"


def places(config: ClientConfig) -> list[tuple[str, int]]:
    return list(candidates(config, lambda: False))


@pytest.fixture(autouse=True)
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    """Return what is answered for each name; a callable is called first."""
    known: dict[str, Answer] = {"pi.lan": ("192.0.2.5",)}

    def resolve(name: str) -> tuple[str, ...]:
        answer = known[name]
        if isinstance(answer, threading.Event):
            answer.wait(20)
            return ("192.0.2.6",)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(names, "_resolve", resolve)
    monkeypatch.setattr(connector, "WAIT", 20.0)
    return known


def test_a_name_that_hangs_holds_up_nobody_and_is_asked_for_once(
    config: ClientConfig, dns: dict[str, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its DNS server has lost its power with the mains."""
    remember(config, "192.0.2.8", 7445)
    config = replace(config, servers=("pi.lan", "192.0.2.7"))
    dns["pi.lan"] = hanging = threading.Event()
    monkeypatch.setattr(connector, "WAIT", 0.3)
    asked, told = names.Names(), {}
    before = threading.active_count()
    for _ in range(3):
        found = list(candidates(config, lambda: False, asked, told.__setitem__))
        assert found == [("192.0.2.7", 7444), ("192.0.2.8", 7445)]
    assert told == {"pi.lan port 7444": "no answer to the question for its address yet"}
    assert threading.active_count() <= before + 1
    hanging.set()
    # It is on its way.
    monkeypatch.setattr(connector, "WAIT", 20.0)
    found = list(candidates(config, lambda: False, asked))
    assert found == [("192.0.2.6", 7444), ("192.0.2.7", 7444), ("192.0.2.8", 7445)]


def test_a_name_that_has_no_address_is_told_with_its_reason(
    config: ClientConfig, dns: dict[str, Answer]
) -> None:
    dns["pi.lan"] = OSError(-2, "Name or service not known")
    told: dict[str, str] = {}
    assert list(candidates(config, lambda: False, tell=told.__setitem__)) == [("192.0.2.7", 7444)]
    assert told == {"pi.lan port 7000": "Name or service not known"}


def test_addresses_are_tried_before_the_last_one_and_that_before_the_lan(
    config: ClientConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object, **__: object) -> Iterator[Candidate]:
        yield Candidate("192.0.2.9", 7444)

    monkeypatch.setattr(connector, "search", search)
    remember(config, "192.0.2.8", 7445)
    configured = [("192.0.2.7", 7444), ("192.0.2.5", 7000)]
    assert places(config) == [*configured, ("192.0.2.8", 7445)]
    looking = replace(config, discovery=Discovery(enabled=True))
    assert places(looking) == [*configured, ("192.0.2.8", 7445), ("192.0.2.9", 7444)]


@pytest.mark.parametrize(
    "kept", [[], {"host": 1, "port": 2}, {"host": "h"}, {"port": 1}, {"host": "pi.lan", "port": 1}]
)
def test_a_last_address_that_is_none_is_passed_over(config: ClientConfig, kept: object) -> None:
    with open(f"{config.state_dir}/last-server.json", "w", encoding="utf-8") as file:
        json.dump(kept, file)
    assert places(config) == [("192.0.2.7", 7444), ("192.0.2.5", 7000)]


def test_an_address_is_written_only_when_it_is_new(config: ClientConfig, tmp_path: Path) -> None:
    kept = tmp_path / "last-server.json"
    remember(config, "192.0.2.8", 7445)
    first = kept.stat().st_ino
    remember(config, "192.0.2.8", 7445)
    assert kept.stat().st_ino == first
    remember(config, "192.0.2.9", 7445)
    assert json.loads(kept.read_text("utf-8")) == {"host": "192.0.2.9", "port": 7445}


def test_a_disk_that_takes_no_address_is_no_reason_to_stop(config: ClientConfig) -> None:
    remember(replace(config, state_dir="/proc/sys"), "192.0.2.8", 7445)


def test_mac_addresses_are_those_of_real_interfaces() -> None:
    for address in mac_addresses():
        assert len(address.split(":")) == 6
        assert address != "00:00:00:00:00:00"


def test_a_host_that_may_not_list_its_interfaces_has_no_mac_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "if_nameindex", refused)
    assert mac_addresses() == ()
