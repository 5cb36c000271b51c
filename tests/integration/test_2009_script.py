"""The 2009 script, today: a laptop as its own UPS, behaviour by behaviour.

A guard watches the power supplies of a recorded laptop, mails to a real mail server, and runs
commands that leave a trace. docs/laptop.md says where each feature of the script lives now.

| step | what happens                                                        |
|------|---------------------------------------------------------------------|
| 1    | on mains, 80 %                                                      |
| 2    | the adapter is unplugged, the battery falls to 71 %                 |
| 3    | the adapter is back: the countdown ends                             |
| 4    | it is unplugged again at 72 %, and the battery falls to half of it  |
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from postoffice import Mailbox, make_certificate

from powmonman.config.sources import Battery
from powmonman.service.clock import boottime

from .daemon import sleep_until, wait_for
from .laptop import Laptop
from .stage import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .fleet import Fleet, Ran

# A guard calls its one UPS by its host's name.
HOST = socket.gethostname()
START = 72
HALF = START / 2


@dataclass
class Story:
    """What happened, to be judged by the tests."""

    fleet: Fleet
    laptop: Laptop
    mailbox: Mailbox
    seen_after: float = 0.0
    at_start: dict[str, object] = field(default_factory=dict)
    ran_above_half: list[Ran] = field(default_factory=list)

    def mail(self, *words: str) -> str:
        """Return the first mail whose subject has all these words: subject and text."""

        def found() -> str:
            for index, subject in enumerate(self.mailbox.subjects):
                if all(word.lower() in subject.lower() for word in words):
                    return f"{subject}\n{self.mailbox.text(index)}"
            return ""

        return wait_for(f"a mail with {words}, not only {self.mailbox.subjects}", found)

    @property
    def log(self) -> str:
        return self.laptop.guard.log


@pytest.fixture(scope="module")
def story(
    new_fleet: Callable[[], Fleet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """Play the table above."""
    certificate = make_certificate(tmp_path_factory.mktemp("mail"))
    mailbox = Mailbox(tls=certificate.context)
    fleet = new_fleet()
    laptop = Laptop(fleet)
    guard = laptop.guard
    guard.stop()
    targets = guard.directory / "notify.yml"
    targets.write_text(f'targets:\n  me: "{mailbox.url()}"\n', encoding="utf-8")
    targets.chmod(0o600)
    guard.environment["SSL_CERT_FILE"] = str(_readable(certificate.ca, guard.directory / "ca.pem"))
    guard.configure(notify={"enabled": True, "targets": str(targets), "coalesce": 0.2})
    guard.start().says("server found")

    told = Story(fleet, laptop, mailbox)
    unplugged = laptop.adapter(plugged=False)
    guard.says("WARNING on battery · outage")
    told.seen_after = boottime() - unplugged
    told.at_start = laptop.published
    laptop.drains_to(71)
    laptop.adapter(plugged=True)
    guard.says("mains are back · outage .* · shutdown cancelled")
    told.mail("power back")

    laptop.drains_to(START)
    with guard.says_again("WARNING on battery · outage"):
        laptop.adapter(plugged=False)
    for percent in (63, 54, 45, HALF + 1):
        laptop.drains_to(percent)
    sleep_until(boottime() + 1.5)
    told.ran_above_half = fleet.history
    laptop.charge(HALF)
    fleet.down("laptop")
    yield told
    mailbox.stop()


def _readable(source: os.PathLike[str], target: os.PathLike[str]) -> os.PathLike[str]:
    """Copy a file to where the unprivileged part can read it."""
    with open(source, encoding="ascii") as original, open(target, "w", encoding="ascii") as copy:
        os.fchmod(copy.fileno(), 0o644)
        copy.write(original.read())
    return target


def test_the_adapter_is_an_event(story: Story) -> None:
    """It was called by ACPI; now the kernel's events or the next look open an outage."""
    story.laptop.guard.says(f"{HOST}: on battery · outage")
    assert story.seen_after < 10


def test_the_capacity_is_read(story: Story) -> None:
    assert story.at_start["charge"] == 80
    story.laptop.guard.says(f"{HOST}: on battery · outage .* charge 80 %")


def test_a_mail_at_the_start_tells_capacity_and_voltage(story: Story) -> None:
    mail = story.mail("power lost")
    assert "80 %" in mail
    assert "12.3" in mail or "12.4" in mail


def test_the_battery_is_looked_at_more_often_than_every_two_minutes(story: Story) -> None:
    story.laptop.guard.says(f"{HOST}: battery: .* polled every 0.1 s")
    assert Battery().poll <= 120


def test_above_half_of_the_charge_at_the_start_nothing_is_run(story: Story) -> None:
    assert story.ran_above_half == []


def test_at_half_of_the_charge_at_the_start_it_shuts_down(story: Story) -> None:
    assert story.fleet.ran("laptop") == ["save", "poweroff"]
    story.laptop.guard.says(
        f"shutting down now · outage ....: {HOST}: charge {HALF:.0f} %, "
        f"down from {START} % when the outage began"
    )


def test_a_mail_at_the_critical_moment_says_that_it_goes_and_why(story: Story) -> None:
    mail = story.mail(HOST, "shuts down now")
    assert f"charge {HALF:.0f} %, down from {START} %" in mail


def test_the_return_of_the_adapter_cancels_and_is_mailed(story: Story) -> None:
    story.laptop.guard.says("mains are back · outage .* · shutdown cancelled")
    assert HOST in story.mail("power back")


def test_the_mails_come_in_the_order_of_what_happened(story: Story) -> None:
    story.mail(HOST, "shuts down now")
    subjects = [subject.lower() for subject in story.mailbox.subjects]
    wanted = ("power lost", "power back", "power lost", "shuts down now")
    at = -1
    for word in wanted:
        at = next(n for n, subject in enumerate(subjects) if n > at and word in subject)


def test_every_step_is_in_the_log_in_its_order(story: Story) -> None:
    of_the_client = (
        "INFO +on mains",
        "WARNING on battery · outage",
        "mains are back",
        "down from 72 % when the outage began · outage",
        "shutting down now",
        "running sh -c",
    )
    of_the_server = (f"{HOST}: on battery · outage", f"{HOST}: on mains · outage .* is over")
    story.laptop.guard.says(of_the_client[-1])
    # Which of the two writes a line first is left to the machine.
    for steps in (of_the_client, of_the_server):
        at = [story.log.index(story.laptop.guard.said(step)[0]) for step in steps]
        assert at == sorted(at)


@together
def test_a_low_battery_shuts_the_laptop_down_before_half(fleet: Fleet) -> None:
    laptop = Laptop(fleet)
    laptop.drains_to(14)
    laptop.adapter(plugged=False)
    laptop.guard.says("WARNING on battery · outage")
    laptop.drains_to(9)
    fleet.down("laptop")
    laptop.guard.says("low battery")
