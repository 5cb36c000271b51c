"""What a client keeps beside its plan; the first line says which file it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzzing import Deaf, emptied, expect, headed, instead
from words import JSON, MESSAGES

from powmonman.client import budget, connector, diary
from powmonman.client.budget import Budget
from powmonman.client.diary import Diary
from powmonman.config.schema import ClientConfig
from powmonman.config.schema import Discovery as Looking
from powmonman.core.messages import LONGEST_LINE, UpsNews, decode, encode
from powmonman.core.power import PowerState
from powmonman.core.timeline import LARGEST_SEQ, Kind
from targets import messages as lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = (diary.FILE, budget.TAKES, budget.STAMP, connector.LAST_SERVER)
WORDS = (
    *JSON,
    *MESSAGES,
    *(f"{name}\n".encode() for name in FILES),
    *(b'"entries":[', b'"seq":', b'"began":', b'"seconds":', b'"committed":', b'"seen":', b'"b"'),
    *(b'"host":', b'"port":'),
)
LARGEST = 4096


def target(data: bytes) -> None:
    name, content = headed(data)
    state, runtime = emptied("state"), emptied("runtime")
    name = name if name in FILES else diary.FILE
    for directory in (state, runtime):
        (directory / name).write_bytes(content)
    with instead(
        {
            "powmonman.client.diary.boot_id": lambda: "b",
            "powmonman.client.diary.boottime": lambda: 5000.0,
            "powmonman.client.diary.trusted_wall": lambda: None,
            "powmonman.client.budget.boot_id": lambda: "b",
            "powmonman.client.budget.boottime": lambda: 5000.0,
            "powmonman.client.budget.Budget._in_background": lambda *_: Deaf(),
            "powmonman.client.diary.Diary._keep": lambda _: None,
        }
    ):
        _diary(runtime, state)
        for committed in (False, True):
            takes = Budget(state, committed=committed).shutdown_takes
            expect(takes is None or 0 <= takes <= budget.LONGEST, "a shutdown of any length")
    config = ClientConfig(state_dir=str(state), discovery=Looking(enabled=False))
    for host, port in connector.candidates(config, lambda: False):
        expect(isinstance(host, str) and isinstance(port, int), "no place to connect to")


def hostile() -> Iterator[bytes]:
    for name in FILES:
        for each in lines.hostile():
            yield name.encode() + b"\n" + each
    entry = b'{"seq":%d,"outage":"o1","kind":"note","at":1,"text":"%b"}'
    many = b",".join(entry % (n, b"\\u001b" * 150) for n in range(1, 1000))
    yield diary.FILE.encode() + b'\n{"entries":[' + many + b"]}"
    yield budget.TAKES.encode() + b'\n{"seconds":[' + b"1e308," * 4000 + b"1e308]}"


def _diary(runtime: Path, state: Path) -> None:
    kept = Diary(runtime, state)
    expect(len(kept.entries) <= diary.MOST_ENTRIES, "more entries than it keeps")
    numbers = [entry.seq for entry in kept.entries]
    expect(numbers == sorted(set(numbers)), "entries out of order")
    kept.began({"ups": UpsNews(PowerState.ON_BATTERY, "o9", age=10.0)})
    kept.note("o9", Kind.COMMITTED, "x")
    expect(kept.entries[-1].seq < LARGEST_SEQ, "a number that no server takes")
    expect(all(kept.entries[-1].seq > number for number in numbers), "a number that is not new")
    for message in kept.due():
        line = encode(message)
        expect(len(line) <= LONGEST_LINE, "a message that fits into no line")
        expect(decode(line) == message, "a diary that no server can read")
    kept.noted(kept.entries[-1].seq)
    expect(not kept.entries, "what the server has is kept for ever")
