"""The file with the passwords: what it may hold, and that nothing of it ever shows."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from powmonman.config.loader import ConfigError
from powmonman.core.events import Event, Kind
from powmonman.notify.redact import redacted
from powmonman.notify.targets import Target, load

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2-s3cret"
URL = f"mailtos://pi:{SECRET}@smtp.example.org?to=me@example.org"


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("targets") / "notify.yml"
    path.touch()
    path.chmod(0o640)
    return path


def faults(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    return str(raised.value).replace(str(file), "notify.yml")


@pytest.mark.parametrize(
    "text", [f'targets: {{mail: "{URL}"}}', f'targets:\n  mail:\n    url: "{URL}"\n']
)
def test_both_forms_are_read(file: Path, text: str) -> None:
    file.write_text(text)
    assert {"mail": Target(URL)} == load(file)


def test_an_address_behind_an_anchor_is_read_in_both_places(file: Path) -> None:
    file.write_text(f'targets:\n  a: {{url: &x "{URL}", events: [on_mains]}}\n  b: {{url: *x}}\n')
    assert {"a": Target(URL, ("on_mains",)), "b": Target(URL)} == load(file)


def test_a_target_is_told_what_it_wants(file: Path) -> None:
    file.write_text(f'targets:\n  sms: {{url: "{URL}", events: [on_battery, low_battery]}}\n')
    events = [Event(Kind.ON_BATTERY), Event(Kind.HOST_BACK), Event(Kind.TEST)]
    wanted = load(file)["sms"].wants(events)
    assert [Kind.ON_BATTERY, Kind.TEST] == [event.kind for event in wanted]
    assert tuple(events) == Target(URL).wants(events)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o646])
def test_a_file_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    try:
        told = faults(file, f'targets: {{mail: "{URL}"}}')
    finally:
        file.chmod(0o640)
    assert "chmod 0640" in told
    assert SECRET not in told


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: can't be opened: No such file"):
        load(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"targets: {{mail: {{urll: '{URL}'}}}}", "1:18: targets.mail.urll: unknown key (did you"),
        (f"targets: {{mail: '{SECRET}'}}", "targets.mail.url: expected an Apprise address"),
        ("targets: {mail: {url: 8347234}}", "targets.mail.url: expected text, found the number"),
        ("targets: {mail: {url: null}}", "targets.mail.url: expected text, found null"),
        ("targets: {mail: {}}", "targets.mail.url: expected an Apprise address"),
        (f"targets: {{mail: ['{URL}']}}", "targets.mail: expected a section with any of the keys"),
        (f"targets: ['{URL}']", "targets: expected a section of names, found a list"),
        (f"targets: '{URL}'", "targets: expected a section of names, found the text '***'"),
        (f"'{URL}'", "expected a section"),
        (f"mail: '{URL}'", "mail: unknown key"),
        (f"targets:\n  '{URL}': x\n", "as a name, expected up to 63"),
        (f"targets:\n  mail: {{url: '{URL}', events: [on_batery]}}", "no such event: on_batery"),
        (f"targets:\n  mail: {{url: '{URL}', events: ['{SECRET}']}}", "events[0]: '***'"),
        (f"targets:\n  mail: '{URL}'\n  mail: '{URL}'\n", "duplicate key"),
        (f"targets:\n  mail: *{SECRET}\n", "found undefined alias"),
        (f"targets:\n  mail: !{SECRET} x\n", "expected text, found '***' with the tag"),
        (f"targets:\n  mail: {URL}: x\n", "not valid YAML"),
        (f"targets:\n\tmail: {URL}\n", "indent with spaces"),
        ("", "names nobody to tell"),
        ("targets: {}", "names nobody to tell"),
    ],
)
def test_a_fault_has_its_place_and_no_secret(file: Path, text: str, told: str) -> None:
    shown = faults(file, text)
    assert told in shown
    assert shown.startswith("notify.yml:")
    assert SECRET not in shown
    assert "8347234" not in shown


# As a key it would be a name, and names are no secrets.
UNNAMED = "hunter2/s3cret"
# What people do to such a file: pieces of it in any place.
WORDS = ["targets", "url", "events", "mail", "on_battery"]
MARKS = [":", " ", "\n", "\n  ", "- ", "? ", "<<", *"{}[]!&*'\",|>%@#~"]
PIECES = st.sampled_from([*WORDS, *MARKS, UNNAMED, f"mailtos://pi:{UNNAMED}@h"])


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=12))
@example(["targets", ":", " ", "{", "mail", ":", " ", "!", UNNAMED, " ", "[", "]", "}"])
@example(["&", UNNAMED, " ", "*", UNNAMED])
@example(["!!", UNNAMED, " ", "a"])
@example(["targets", ":", " ", "{", "mail", ":", " ", "!!", UNNAMED, " ", "a", "}"])
@example(["targets", ":", " ", "!!null ", UNNAMED])
@example(["targets", ":", " ", "{", "mail", ":", " ", "{", "url: ", "!!null ", UNNAMED, "}}"])
@example(["targets", ":", " ", "!!bool ", UNNAMED])
@example(["%TAG !", "'", UNNAMED, "! x", "\n", "--- a"])
def test_no_file_makes_a_fault_show_the_secret(file: Path, pieces: list[str]) -> None:
    file.write_text("".join(pieces))
    told = ""
    try:
        load(file)
    except ConfigError as error:
        told = "".join(traceback.format_exception(error))
    assert UNNAMED not in told


class TestRedacted:
    def test_addresses_are_taken_out(self) -> None:
        assert "can't reach mailtos://*** now" == redacted(f"can't reach {URL} now")

    @pytest.mark.parametrize(
        ("url", "text"),
        [
            (URL, f"login of pi with {SECRET} failed"),
            ("mailto://pi:p%40ss%2Fword@h", "wrong: p@ss/word"),
            ("tgram://123456:AbCdEf/98765", "bot 123456:AbCdEf of chat 98765"),
            ("slack://TokenA/TokenB/TokenC/#room", "tokena is revoked, TokenC too"),
            ("json://h/path?token=abcdef", "?token=abcdef"),
        ],
    )
    def test_parts_of_the_address_are_taken_out_too(self, url: str, text: str) -> None:
        shown = redacted(text, url)
        assert "***" in shown
        for secret in (SECRET, "p@ss", "AbCdEf", "98765", "tokena", "TokenC", "abcdef"):
            assert secret not in shown

    def test_the_mail_servers_name_stays(self) -> None:
        told = "Connection refused by smtp.example.org"
        assert told == redacted(told, URL)

    def test_it_is_one_short_line_without_control_characters(self) -> None:
        assert "a b �" == redacted("a\n b \x1b")
        assert len(redacted("x" * 9999)) == 300
