"""What the operator was told, by mail through a server that asks for TLS and a login."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
        "Power back: rack",
        "(nas|database) is back",
        "(nas|database) is back",
    ]
    assert -1 not in places(story, *order), story


def test_that_a_host_is_down_is_told_after_it_has_gone_and_before_it_is_back(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "pi")
    for name in ("nas", "database"):
        steps = (f"{name} shuts down now", f"{name} is down", f"{name} is back")
        assert -1 not in places(story, *steps), story


def test_a_low_battery_is_told(mailbox: list[EmailMessage]) -> None:
    assert "battery is low" in told(mailbox, "pi")


def test_nothing_is_told_of_a_ups_that_never_failed_or_a_host_that_stayed_up(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "pi")
    assert "lost: desk" not in story
    assert "hypervisor shuts down" not in story


def test_the_laptop_tells_its_charge_and_voltage_when_the_adapter_is_lost(
    mailbox: list[EmailMessage],
) -> None:
    """As the script of 2009 did."""
    assert re.search(r"on battery.*charge 9\d %, 16\.8 V", told(mailbox, "laptop"))


def test_the_laptop_s_outage_is_told_in_the_order_in_which_it_happened(
    mailbox: list[EmailMessage],
) -> None:
    story = told(mailbox, "laptop")
    order = ["Power lost", "Power back", "Power lost", "laptop shuts down now", "Power back"]
    assert -1 not in places(story, *order), story
