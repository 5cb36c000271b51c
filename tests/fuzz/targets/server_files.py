"""What a server keeps; the first line says which file it is.

Whatever stands there, it starts, knows nothing good of any UPS, and forgets no host that is due.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from fuzzing import Deaf, emptied, expect, headed, instead, scratch
from words import JSON, MESSAGES, RULES

from powmonman.config.schema import ServerConfig
from powmonman.core.messages import Policy, Report, State, decode, encode
from powmonman.core.outage import Supply
from powmonman.core.power import PowerState, Reading
from powmonman.notify import TOLD, Notifier
from powmonman.notify.spool import DROPPED, Spool
from powmonman.server import host_memory, memory, recovery
from powmonman.server.host_memory import HostMemory
from powmonman.server.memory import Memory
from powmonman.server.recovery import Waker
from powmonman.server.roster import Roster
from targets import messages as lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGE = "000000000007.json"
FILES = (memory.FILE, host_memory.FILE, recovery.FILE, MESSAGE, DROPPED, TOLD)
WORDS = (
    *(*JSON, *MESSAGES, *RULES),
    *(f"{name}\n".encode() for name in FILES),
    *(
        b'{"boot_id":"b",',
        b'"upses":{"rack":{',
        b'"hosts":{"nas":{',
        b'"recovery":{',
        b'"clean":true,',
    ),
    *(
        b'"spent":',
        b'"began":',
        b'"stamp":',
        b'"charge":',
        b'"since":',
        b'"took":',
        b'"fate":"due"',
    ),
    *(b'"connected":', b'"known":{', b'"macs":["02:00:5e:00:00:01"]', b'"cause":', b'"wakes":'),
    *(b'"number":7', b'"events":[{', b'"kind":', b'"dropped":{'),
)
LARGEST = 4096
NOW = 5000.0


def target(data: bytes) -> None:
    name, content = headed(data)
    name = name if name in FILES else memory.FILE
    path = emptied("server") / name
    path.write_bytes(content)
    {
        memory.FILE: _upses,
        host_memory.FILE: _hosts,
        recovery.FILE: _recovery,
        TOLD: _told,
    }.get(name, _spool)(path.parent, content)


def hostile() -> Iterator[bytes]:
    for name in FILES:
        for each in lines.hostile():
            yield name.encode() + b"\n" + each
    host = b'"h%d":{"hello":{"nonce":1,"macs":["02:00:5e:00:00:01"]},"since":1e308,"took":[1e308]}'
    many = b",".join(host % n for n in range(4000))
    yield host_memory.FILE.encode() + b'\n{"boot_id":"b","hosts":{' + many + b"}}"
    due = b'"h%d":{"known":{},"tried":1e308,"pause":-1e308,"good":1e308}'
    many = b",".join(due % n for n in range(4000))
    yield recovery.FILE.encode() + b'\n{"boot_id":"b","recovery":{"hosts":{' + many + b"}}}"


@cache
def _config() -> ServerConfig:
    return ServerConfig(state_dir=str(scratch() / "server"), runtime_dir=str(scratch() / "server"))


def _disk(path: Path, _: str) -> Deaf:
    return Deaf(path=path, fault="")


def _memory() -> Memory:
    with instead({"powmonman.server.memory.Disk": _disk}):
        return Memory(_config().runtime_dir, _config().state_dir)


def _upses(_: Path, content: bytes) -> None:
    with instead(
        {
            "powmonman.server.memory.boot_id": lambda: "b",
            "powmonman.server.memory.boottime": lambda: NOW,
        }
    ):
        supply = _memory().recall("rack", Supply())
    news = supply.news(NOW + 1)
    expect(news.state is PowerState.UNKNOWN, "a state that no sensor has said")
    expect(0 <= news.spent <= supply.full_runtime, "a budget beyond the battery")
    expect(news.charge_at_start is None or 0 <= news.charge_at_start <= 100, "no such charge")
    expect(news.age >= 0, "an outage that is still to come")
    expect(not news.outage or b"outage" in content, "an outage from nowhere")
    state = State("s", 15.0, Policy(), {"rack": news})
    expect(decode(encode(state)) == state, "a state that no client can read")
    for after in range(60):
        supply = supply.observe(Reading(mains=True), NOW + 2 + after, "new")
    expect(supply.state is PowerState.ON_MAINS, "the mains are good, and nobody believes it")
    expect(supply.outage is None, "an outage that never ends")


def _hosts(directory: Path, _: bytes) -> None:
    with instead(
        {
            "powmonman.server.host_memory.boot_id": lambda: "b",
            "powmonman.server.host_memory.Disk": _disk,
        }
    ):
        records, same_boot = HostMemory(str(directory), str(directory)).recall()
    roster = Roster(["nas"])
    roster.recall(records, NOW, same_boot=same_boot)
    expect("nas" in roster.hosts, "an expected host was forgotten")
    expect(encode(Report({"clients": roster.rows(NOW, "s1")})), "the report can't be written")
    for host in roster.hosts.values():
        expect(not host.connected, "connected by a file")
        expect(host.takes is None or host.takes >= 0, "a shutdown that ends before it begins")
    roster.records()


def _recovery(_: Path, content: bytes) -> None:
    with instead(
        {
            "powmonman.server.recovery.boot_id": lambda: "b",
            "powmonman.server.recovery.boottime": lambda: NOW,
            "powmonman.server.recovery.Disk": _disk,
        }
    ):
        config = ServerConfig(state_dir=_config().state_dir, clients=("nas",))
        waker = Waker(config, Roster(["nas"]), {}, lambda: "s1")
        for _ in range(3):
            waker.look()
        expect(encode(Report(waker.report())), "the report can't be written")
        waker.seen()
    whole, said = _due_by_the_file(content)
    expect(said <= set(waker._record.hosts), "L3: a host that was due was forgotten")
    expect(whole or "nas" in waker._record.hosts, "L3: no record can be read, and nobody is due")


def _due_by_the_file(content: bytes) -> tuple[bool, set[str]]:
    """Return whether the file is a record, and the hosts that stand in it."""
    try:
        kept = json.loads(content)["recovery"]
        hosts, connected = kept.get("hosts"), kept.get("connected")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False, set()
    named = hosts if isinstance(hosts, dict) else {}
    whole = named is hosts and isinstance(connected, dict)
    return whole, {name for name in named if name.isprintable()}


def _spool(directory: Path, _: bytes) -> None:
    with instead({"powmonman.notify.spool.Disk": lambda _: Deaf(fault="")}):
        spool = Spool(directory, 5)
    for target_name in spool.targets():
        spool.waiting(target_name)
        expect(isinstance(spool.dropped(target_name), int), "so many were dropped")
    expect(len(spool._messages) <= 5, "more messages than it keeps")


def _told(directory: Path, _: bytes) -> None:
    notifier: Any = Notifier.__new__(Notifier)
    notifier._config = Deaf(enabled=True)
    notifier._recalled(directory / TOLD)
