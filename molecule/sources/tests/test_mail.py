"""What the operator was told, by mail through a server that asks for TLS and a login."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import EmailMessage


def told(mailbox: list[EmailMessage], by: str) -> str:
    """Return everything that one server said, subjects and bodies, one after the other."""
    return "\n".join(
        f"{mail['Subject']}\n{mail.get_body(('plain', 'html')).get_content()}"
        for mail in mailbox
        if f"{by}@lab.test" in mail["From"]
    )


def places(text: str, *patterns: str) -> list[int]:
    """Return where each is found first after the one before; -1: not there."""
    found, start = [], 0
    for pattern in patterns:
        match = re.compile(pattern).search(text, start)
        found.append(match.start() if match else -1)
        start = match.end() if match else start
    return found


def test_every_mail_came_by_tls_from_a_sender_who_had_logged_in(
    mailbox: list[EmailMessage],
) -> None:
    assert mailbox
    for mail in mailbox:
        assert "TLS" in mail.get_all("Received")[0]


def test_the_fleet_s_outage_is_told_in_the_order_in_which_it_happened(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "pi")
    order = [
        "Power lost: rack",
        "Power back: rack",
        "Power lost: rack",
        "database shuts down now",
        "nas shuts down now",
        "rack is on mains again",
    ]
    assert -1 not in places(story, *order), story


@pytest.mark.parametrize("name", ["nas", "database"])
def test_of_each_host_is_told_that_it_goes_that_it_is_gone_and_that_it_is_back(
    mailbox: list[EmailMessage], name: str
) -> None:
    story = told(mailbox, "pi")
    steps = (f"{name} shuts down now", f"{name} has shut down", f"{name} is connected again")
    assert -1 not in places(story, *steps), story


def test_a_witness_that_contradicts_is_told(mailbox: list[EmailMessage]) -> None:
    assert "the sensors disagree: NUT says off, command cat says on" in told(mailbox, "pi")


def test_a_low_battery_is_told(mailbox: list[EmailMessage]) -> None:
    assert "battery is low" in told(mailbox, "pi")


def test_nothing_is_told_of_a_ups_that_never_failed_or_a_host_that_stayed_up(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "pi")
    assert "desk" not in story
    assert "hypervisor" not in story


def test_the_laptop_tells_its_charge_and_voltage_when_the_adapter_is_lost(
    mailbox: list[EmailMessage],
) -> None:
    """As the script of 2009 did."""
    assert re.search(r"on battery.*charge 9\d %, 16\.8 V", told(mailbox, "laptop"))


def test_the_laptop_s_outage_is_told_in_the_order_in_which_it_happened(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "laptop")
    order = [
        "Power lost: battery",
        "Power back: battery",
        "Power lost: battery",
        "laptop shuts down now",
        "battery is on mains again",
    ]
    assert -1 not in places(story, *order), story


def test_the_laptop_tells_after_the_boot_what_it_could_not_before(
    mailbox: list[EmailMessage],
) -> None:
    """Its last word may still wait when it goes, and is sent when it is back."""
    steps = ("laptop shuts down now", "laptop is connected again")
    story = told(mailbox, "laptop")
    assert -1 not in places(story, *steps), story
