"""What `powmonman wake-arm` does with cards that are able, unable and wireless."""

from __future__ import annotations

import errno
import json

import pytest

from powmonman import cli
from powmonman.net import ethtool
from powmonman.net.ethtool import Card


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Cards by name, and what each is: `off`, `on`, `unable` or `wireless`."""
    there = {"eth0": "off", "eth1": "unable", "wlan0": "wireless"}

    def arm(name: str) -> bool:
        if there[name] == "unable":
            raise OSError(errno.EOPNOTSUPP, "the card knows no magic packets", name)
        changed = there[name] == "off"
        there[name] = "on"
        return changed

    def listed() -> list[Card]:
        return [Card(name, (), kind == "wireless", "unknown") for name, kind in there.items()]

    monkeypatch.setattr(ethtool, "cards", listed)
    monkeypatch.setattr(ethtool, "arm", arm)
    return there


def test_every_card_that_can_is_armed_and_the_others_say_why_not(
    cards: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wake-arm"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "changed": True,
        "armed": ["eth0"],
        "unable": {
            "eth1": "the card knows no magic packets",
            "wlan0": "wireless: nothing wakes it once the host is off",
        },
    }
    assert cards["eth0"] == "on"


@pytest.mark.usefixtures("cards")
def test_a_second_time_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["wake-arm"])
    cli.main(["wake-arm"])
    assert not json.loads(capsys.readouterr().out.splitlines()[-1])["changed"]
