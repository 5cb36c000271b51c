"""`powmonman notify-test`, as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from postoffice import PASSWORD, Mailbox, Settings, free

from powmonman import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "server.yml"
    path.write_text(
        yaml.safe_dump(
            {"fleet": "home", "notify": {"enabled": True, "targets": str(settings.file)}}
        )
    )
    return path


def run(server: Path, *options: str) -> int:
    return cli.main(["notify-test", "--config", str(server), *options])


def test_every_target_is_told_now_and_has_its_line(
    server: Path, settings: Settings, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.targets({"mail": mailbox.url(), "ntfy": f"ntfy://127.0.0.1:{free()}/secret-topic"})
    assert cli.FAILED == run(server)
    mail, ntfy = capsys.readouterr().out.splitlines()
    assert mail.startswith(("mail: sent in 0.", "mail: sent in 1."))
    assert ntfy.startswith("ntfy: not sent: ")
    assert "secret-topic" not in ntfy
    assert ["Test from PowMonMan"] == mailbox.subjects
    assert "Fleet home, server " in mailbox.text()


def test_one_target_alone(
    server: Path, settings: Settings, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.targets({"mail": mailbox.url(), "dead": "json://127.0.0.1:1"})
    assert cli.OK == run(server, "--target", "mail")
    assert 1 == len(capsys.readouterr().out.splitlines())
    assert cli.USAGE == run(server, "--target", "male")
    assert "there are dead, mail" in capsys.readouterr().err


@pytest.mark.parametrize("password", ["wr0ng-passw0rd"])
def test_a_refused_login_says_what_to_do(
    server: Path,
    settings: Settings,
    mailbox: Mailbox,
    password: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.targets({"mail": mailbox.url(password)})
    assert cli.FAILED == run(server)
    out = capsys.readouterr().out
    assert "535" in out
    assert out.endswith("; check user and password\n")
    assert password not in out


def test_a_file_that_others_can_read_is_refused(
    server: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.targets({"mail": f"mailtos://pi:{PASSWORD}@example.org"})
    settings.file.chmod(0o644)
    assert cli.USAGE == run(server)
    said = capsys.readouterr()
    assert "everybody can read it" in said.err
    assert PASSWORD not in said.err + said.out


def test_check_config_shows_nothing_of_the_targets(
    server: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.targets({"mail": f"mailtos://pi:{PASSWORD}@example.org"})
    assert 0 == cli.main(["check-config", str(server)])
    said = capsys.readouterr()
    assert PASSWORD not in said.err + said.out


def test_where_notifications_are_off_it_says_so(
    server: Path, settings: Settings, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.targets({"mail": mailbox.url()})
    server.write_text(f"notify: {{targets: {settings.file}}}\n")
    assert cli.OK == run(server)
    assert "notify.enabled is false" in capsys.readouterr().err
