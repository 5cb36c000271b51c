"""Mail as it really goes: the real process, Apprise, TLS and a login, to a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postoffice import PASSWORD, Mailbox, free, power_lost, wait_for

from powmonman import bundle
from powmonman.config.notify_keys import Template
from powmonman.core.events import Event, Kind
from powmonman.notify import courier as courier_module
from powmonman.notify.courier import Courier
from powmonman.notify.errand import Errand
from powmonman.notify.job import Job, Result, Sending
from powmonman.notify.spool import Message
from powmonman.service.clock import boot_id, boottime
from powmonman.service.program import own_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from postoffice import Certificate, Hanging, Settings

DEBIAN = "/usr/bin/python3"


def debians_apprise() -> bool:
    script = "import apprise, jinja2; assert apprise.__file__.startswith('/usr/lib')"
    command = [DEBIAN, "-I", "-c", script]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


@pytest.fixture(params=["ours", "the distribution's"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The program with the Apprise of these tests, and as one file with the distribution's."""
    if request.param == "ours":
        return [*own_program(), "notify-deliver"]
    if not debians_apprise():
        missing = "apt install apprise python3-jinja2: not installed here"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    pyz = tmp_path / "powmonman.pyz"
    pyz.write_bytes(bundle.program())
    return [DEBIAN, "-I", str(pyz), "notify-deliver"]


def deliver(
    settings: Settings,
    *events: Event,
    target: str = "mail",
    program: Sequence[str] = (),
    templates: dict[str, Template] | None = None,
    timeout: float = 60.0,
) -> list[Result]:
    """Send one message for each event, and return what became of them."""
    wall = time.time()
    sendings = tuple(
        Sending(Message(number, boot_id(), boottime(), wall, (event,)))
        for number, event in enumerate(events, 1)
    )
    job = Job(str(settings.file), target, sendings, timeout, "home", "pi")
    results: list[Result] = []
    Errand(job, templates or {}, program).run(results.append)
    return results


@pytest.mark.parametrize("mode", ["starttls", "ssl"])
@pytest.mark.usefixtures("trusted")
def test_mail_arrives_by_tls_and_with_a_login(
    mode: str, settings: Settings, certificate: Certificate, program: list[str]
) -> None:
    box = Mailbox(mode=mode, tls=certificate.context)
    try:
        settings.targets({"mail": box.url()})
        events = (power_lost(), Event(Kind.HOST_BACK, at=time.time(), host="nas"))
        results = deliver(settings, *events, program=program)
        assert [(1, True), (2, True)] == [(each.number, each.sent) for each in results], results
        assert ["Power lost: rack", "nas is back"] == box.subjects
        assert "nas shuts down in 10 min, db in 15 min, unless the mains return." in box.text(0)
        assert ("admin@example.org", True) == (box.mails[0]["To"], all(box.logins))
    finally:
        box.stop()


def test_a_wrong_password_is_refused_and_never_shown(
    settings: Settings, mailbox: Mailbox, program: list[str]
) -> None:
    settings.targets({"mail": mailbox.url(password="wr0ng-passw0rd")})
    first, *rest = deliver(settings, power_lost(), power_lost(), program=program)
    assert ([], False) == (rest, first.sent)
    assert "535" in first.reason
    assert "wr0ng" not in str(first)
    assert ([], [False]) == (mailbox.mails, mailbox.logins[:1])


def test_a_server_that_can_not_prove_itself_is_not_told_the_password(
    settings: Settings, mailbox: Mailbox, program: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise 1.2 alone would tell it to anybody in between."""
    monkeypatch.delenv("SSL_CERT_FILE")
    settings.targets({"mail": mailbox.url()})
    (result,) = deliver(settings, power_lost(), program=program)
    assert "certificate verify failed" in result.reason
    assert ([], []) == (mailbox.mails, mailbox.logins)


def test_the_operator_may_do_without_that_proof(
    settings: Settings, mailbox: Mailbox, program: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    settings.targets({"mail": mailbox.url(verify="no")})
    (result,) = deliver(settings, power_lost(), program=program)
    assert result.sent, result


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mailtos://127.0.0.1:{port}?from=a@b.org&to=c@d.org", "Connection refused"),
        ("nosuchthing://hunter2", "can't use the address: check its kind"),
        ("tgram://hunter2/hunter2", "can't use the address"),
    ],
)
def test_what_can_not_be_sent_says_why(
    settings: Settings, program: list[str], url: str, reason: str
) -> None:
    settings.targets({"mail": url.format(port=free())})
    (result,) = deliver(settings, power_lost(), program=program)
    assert reason in result.reason, result
    assert "hunter2" not in str(result)


def test_own_words_are_sent_and_faulty_ones_give_way(settings: Settings, mailbox: Mailbox) -> None:
    settings.targets({"mail": mailbox.url()})
    own = {"on_battery": Template("Strom weg: {{ ups }}\n", "{{ upps }}")}
    (result,) = deliver(settings, power_lost(), templates=own)
    assert ("on_battery.body: UndefinedError: 'upps' is undefined",) == result.faults
    assert ["Strom weg: rack"] == mailbox.subjects
    assert "rack is on battery since" in mailbox.text()


def test_a_server_that_hangs_is_left_when_its_time_is_up(
    settings: Settings, hanging: Hanging, program: list[str]
) -> None:
    settings.targets({"mail": hanging.url})
    began = time.monotonic()
    (result,) = deliver(settings, power_lost(), program=program, timeout=5)
    assert "no answer within 5 s" == result.reason
    assert 5 <= time.monotonic() - began < 30
    assert hanging.taken


def test_no_command_line_and_no_environment_holds_a_secret(
    settings: Settings, hanging: Hanging
) -> None:
    """While it hangs, what anybody on the host can see of it is looked at."""
    settings.targets({"mail": hanging.url})
    job = Job(
        str(settings.file),
        "mail",
        (Sending(Message(1, "", 0.0, time.time(), (power_lost(),))),),
        120.0,
    )
    errand = Errand(job, {})
    results: list[Result] = []
    thread = threading.Thread(target=errand.run, args=(results.append,))
    thread.start()
    try:
        wait_for("it hangs", lambda: hanging.taken)
        process = errand._process
        assert process is not None
        cmdline, environ, first_to_go = (
            Path(f"/proc/{process.pid}/{name}").read_bytes()
            for name in ("cmdline", "environ", "oom_score_adj")
        )
    finally:
        errand.call_off()
        thread.join(30)
    assert b"notify-deliver" in cmdline
    assert b"1000" == first_to_go.strip()
    assert PASSWORD.encode() not in cmdline + environ
    assert [] == results


@asynccontextmanager
async def running(settings: Settings, **changes: object) -> AsyncIterator[Courier]:
    courier = Courier(settings.config(**changes), settings.spool, fleet="home", server="pi")
    task = asyncio.create_task(courier.run())
    try:
        yield courier
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: str, check: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, check, 60.0)


@pytest.mark.usefixtures("trusted")
def test_mail_waits_while_its_server_is_down_and_arrives_in_order_marked_late(
    settings: Settings,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The router is down now. When it is back, a restarted server sends what waits."""
    caplog.set_level(logging.DEBUG, "powmonman.notify")
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(courier_module, "LONGEST_PAUSE", 0.5)
    port = free()
    events = [
        power_lost(),
        Event(Kind.HOST_COMMITTED, at=time.time(), host="nas"),
        Event(Kind.ON_MAINS, at=time.time(), ups="rack", length=600.0),
    ]

    async def story() -> None:
        box = Mailbox(port, tls=certificate.context)
        settings.targets({"mail": box.url()})
        box.stop()
        async with running(settings, coalesce=0, late_after=1) as courier:
            for event in events:
                courier.tell([event])
            await until("it has failed", lambda: courier.faults)
            assert "Connection refused; 3 waiting" in courier.faults[0]
            newest = courier.spool.newest()
            assert newest is not None
            await until("all are late", lambda: boottime() - newest.moment >= 1)
        box = Mailbox(port, tls=certificate.context)
        try:
            async with running(settings, coalesce=0, late_after=1) as courier:
                await until("all is sent", lambda: not len(courier.spool))
        finally:
            box.stop()
        begins = ["Power lost: rack (late:", "nas shuts down now (late:", "Power back: rack (late:"]
        subjects = [subject.replace("\n", "") for subject in box.subjects]
        assert [True] * 3 == [
            subject.startswith(begin) for subject, begin in zip(subjects, begins, strict=True)
        ], subjects

    asyncio.run(story())
    assert PASSWORD not in caplog.text
    assert "told mail: Power lost: rack (late:" in caplog.text


def test_a_mail_server_that_hangs_keeps_no_other_target_waiting(
    settings: Settings, mailbox: Mailbox, hanging: Hanging
) -> None:
    async def story() -> None:
        settings.targets({"dead": hanging.url, "mail": mailbox.url()})
        async with running(settings, coalesce=0, timeout=5) as courier:
            courier.tell([power_lost()])
            await until("one has it", lambda: mailbox.mails)
            await until("the other is given up for now", lambda: courier.faults)
            assert "dead: not delivered since" in courier.faults[0]
            assert ["dead"] == courier.spool.targets()

    asyncio.run(story())


def test_what_a_library_prints_stays_unseen(settings: Settings, tmp_path: Path) -> None:
    """Neither in the results nor in what the server would log."""
    apprise = tmp_path / "apprise.py"
    apprise.write_text(
        "import os, sys\n"
        "print('hunter2'); print('hunter2', file=sys.stderr); os.write(2, b'hunter2')\n"
        "raise RuntimeError('json://pi:hunter2@h is bad')\n"
    )
    settings.targets({"mail": "json://pi:hunter2@127.0.0.1"})
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['x', 'notify-deliver']"
    program = [sys.executable, "-c", f"{code}\nfrom powmonman.cli import main\nmain()"]
    (result,) = deliver(settings, power_lost(), program=program)
    assert not result.sent
    assert "hunter2" not in str(result)
