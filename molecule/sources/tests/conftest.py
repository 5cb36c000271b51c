"""The hosts of this scenario, and the operator's mailbox."""

from __future__ import annotations

import sys
from email import message_from_string, policy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from email.message import EmailMessage

    from testinfra.host import Host

SCENARIO = Path(__file__).parents[1]

sys.path.insert(0, str(SCENARIO.parent / "lab"))

# The lab is a program beside the scenarios, and its fixtures are found by their names here.
from testing import directory_of, fleet, hosts, record  # noqa: E402, F401


@pytest.fixture(scope="session")
def directory() -> Path:
    return directory_of(SCENARIO)


@pytest.fixture(scope="session")
def mailbox(hosts: dict[str, Host]) -> list[EmailMessage]:  # noqa: F811
    """Every mail that the operator has, in the order of arrival."""
    text = hosts["mail"].file("/var/mail/operator").content_string
    # A line of a body that begins like this is quoted in a mailbox.
    found = ("\n" + text).split("\nFrom ")[1:]
    return [message_from_string(mail.partition("\n")[2], policy=policy.default) for mail in found]
