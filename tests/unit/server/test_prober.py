"""What the silence of a host is worth, by how it is known to answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from powmonman.core.presence import Answer
from powmonman.net.link import Link
from powmonman.server import prober

if TYPE_CHECKING:
    from powmonman.net.link import Target

WIRED = Link("eth0", up=True, changes=2)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the network says: `heard` by which way, `near` by ARP, `link`."""
    says: dict[str, Any] = {"heard": None, "near": None, "link": WIRED, "first": None}

    async def ask(_: Target, first: int, *__: Any) -> int | None:
        says["first"] = first
        if isinstance(says["heard"], OSError):
            raise says["heard"]
        return says["heard"]

    monkeypatch.setattr(prober.knock, "ask", ask)
    monkeypatch.setattr(prober, "neighbour", lambda _: says["near"])
    monkeypatch.setattr(prober, "link_to", lambda _: says["link"])
    return says


def asked(way: int | None = None) -> tuple[Answer, str, int | None]:
    found = asyncio.run(prober.ask("192.0.2.7", way))
    assert found.sent <= found.until
    return found.answer, found.how, found.way


def test_an_answer_is_remembered_and_asked_for_first_next_time(network: dict[str, Any]) -> None:
    network["heard"] = 22
    assert asked() == (Answer.ANSWERED, "TCP port 22", 22)
    assert network["first"] == 0
    network["heard"] = None
    assert asked(22) == (Answer.SILENT, "no answer to TCP port 22", 22)
    assert network["first"] == 22


@pytest.mark.parametrize(
    ("way", "near", "answer", "how"),
    [
        (0, None, Answer.SILENT, "no answer to ping"),
        (0, True, Answer.SILENT, "no answer to ping"),
        (0, False, Answer.SILENT, "no answer to ping and ARP"),
        (None, False, Answer.SILENT, "no answer to ARP"),
        (None, True, Answer.UNSURE, "no answer to ping, but perhaps to ARP"),
        (None, None, Answer.MUTE, "no answer to ping"),
    ],
)
def test_what_a_silence_is_worth(
    network: dict[str, Any], way: int | None, near: bool | None, answer: Answer, how: str
) -> None:
    network["near"] = near
    assert asked(way) == (answer, how, way)


def test_while_our_own_link_is_down_nobody_is_silent(network: dict[str, Any]) -> None:
    network["link"] = Link("eth0", up=False, changes=3)
    assert asked(0) == (Answer.UNSURE, "the link of eth0 is down", 0)


def test_what_this_host_forbids_is_no_silence(network: dict[str, Any]) -> None:
    network["heard"] = PermissionError(1, "Operation not permitted")
    assert asked(0) == (Answer.UNSURE, "operation not permitted", 0)
