"""From events to a text: titles and bodies filled in, within bounds.

Jinja2 is imported only when words are made, in the process that delivers. A faulty template of the
operator's gives way to the default words: a message in other words is better than none.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from importlib.util import find_spec
from signal import ITIMER_REAL, SIGALRM, setitimer, signal
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

from powmonman.config.notify_keys import Template
from powmonman.core.durations import duration
from powmonman.core.events import Event, HostLine, Kind
from powmonman.core.power import PowerState
from powmonman.core.presence import GOING
from powmonman.core.records import printable
from powmonman.notify.words import DEFAULTS, DRILL, TYPES, WEIGHT, battery, clock, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import jinja2

LONGEST_TITLE = 200
LONGEST_BODY = 4000
# For one template: after that it is taken for one that never ends.
PATIENCE = 2.0
MEMORY = 1 << 30
# By expressions in templates.
_RAISED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


# Everything is known of it, so that a template can be tried on it.
_SAMPLE = Event(
    Kind.COUNTDOWN,
    state=PowerState.ON_BATTERY,
    at=1_700_000_000.0,
    ups="rack",
    host="nas",
    outage="3f2a" * 8,
    reason="a reason",
    since=1_699_999_700.0,
    length=300.0,
    left=300.0,
    milestone=300.0,
    charge=87.0,
    charge_at_start=100.0,
    voltage=12.9,
    runtime=1500.0,
    spent=300.0,
    full=1800.0,
    hosts=(HostLine("nas", "counting", 300.0, 600.0, connected=True),),
    back=3,
    given_up=("db",),
)


class TemplateError(ValueError):
    """A template of the operator's that can't be used, and why."""


@dataclass(frozen=True)
class Text:
    """A message in words; `faults` are those of templates that gave way to the default words."""

    title: str
    body: str
    type: str = "info"
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Circumstances:
    """What a text says beside its events.

    Attributes:
        now: The wall clock in seconds.
        late: Seconds since it was to be sent, None where it is not late; `inf`: nobody knows.
        more: Events that found no room.
        dropped: Older messages that found none.
    """

    fleet: str = ""
    server: str = ""
    now: float = 0.0
    late: float | None = None
    more: int = 0
    dropped: int = 0


def words(
    events: tuple[Event, ...], templates: Mapping[str, Template], around: Circumstances
) -> Text:
    """Return the text of a message about `events`.

    Raises:
        ImportError: Jinja2 is missing.
    """
    faults: dict[str, None] = {}
    told = [(event.kind, *_event(event, templates, around, faults)) for event in events]
    # What is real gives the message its title.
    real = [each for each, event in zip(told, events, strict=True) if not event.drill] or told
    kind, title, _ = min(real, key=lambda each: WEIGHT.index(each[0]))
    others = len(told) - 1 + around.more
    if others:
        title = f"{title} (and {others} more)"
    if around.late is not None:
        at = clock(min(event.at for event in events), around.now)
        ago = "" if around.late == float("inf") else f", {duration(around.late)} ago"
        title = f"{title} (late: {at}{ago})"
    body = "\n".join(dict.fromkeys(text for _, _, text in told if text))[:LONGEST_BODY]
    if around.more:
        body += f"\n… and {around.more} more events."
    if around.dropped:
        body += f"\nOlder messages that could not be sent and were dropped: {around.dropped}."
    return Text(title, body, TYPES.get(kind, "info"), tuple(faults))


def faults_of(template: Template) -> list[str]:
    """Return what is wrong with a template, tried on an event of which everything is known.

    Where Jinja2 is not installed nothing is found: there nothing is rendered either.
    """
    if find_spec("jinja2") is None:
        return []
    variables = _variables(_SAMPLE, Circumstances("home", "pi", _SAMPLE.at))
    found = []
    for part in ("title", "body"):
        try:
            _render(getattr(template, part), variables, _SAMPLE.at)
        except TemplateError as error:
            found.append(f"{part}: {error}")
    return found


def _event(
    event: Event,
    templates: Mapping[str, Template],
    around: Circumstances,
    faults: dict[str, None],
) -> tuple[str, str]:
    variables = _variables(event, around)
    own = templates.get(event.kind, Template())
    default = DEFAULTS[event.kind]
    texts = []
    for part in ("title", "body"):
        text = _render(getattr(default, part), variables, around.now)
        if wanted := getattr(own, part):
            try:
                text = _render(wanted, variables, around.now)
            except TemplateError as error:
                faults[f"{event.kind}.{part}: {error}"] = None
        texts.append(text)
    title, body = texts
    if event.drill:
        title, body = DRILL + title, body and DRILL + body
    lines = "\n".join(printable(line.rstrip()) for line in body.strip().splitlines())
    return printable(" ".join(title.split()))[:LONGEST_TITLE], lines[:LONGEST_BODY]


def _render(source: str, variables: dict[str, Any], now: float) -> str:
    """Render one template, within bounds of time and size.

    Raises:
        TemplateError: It can't be rendered.
    """
    import jinja2

    environment = _environment(now)
    try:
        with _at_most(PATIENCE):
            pieces, size = [], 0
            for piece in environment.from_string(source).generate(variables):
                pieces.append(piece[: LONGEST_BODY + 1])
                size += len(piece)
                if size > LONGEST_BODY:
                    break
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {error.message}") from None
    except (jinja2.TemplateError, *_RAISED) as error:
        raise TemplateError(f"{type(error).__name__}: {error}"[:LONGEST_TITLE]) from None
    return "".join(pieces)


def _environment(now: float) -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    class Environment(SandboxedEnvironment):
        """Makes no text of a gigabyte from six characters."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if not all(isinstance(each, int | float) for each in (left, right)):
                raise TypeError(f"'{operator}' is for numbers here")
            if operator == "**":
                return float(left) ** float(right)
            return super().call_binop(context, operator, left, right)

    environment = Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["clock"] = lambda seconds: clock(seconds, now)
    environment.filters["duration"] = duration
    return environment


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer or grows too large; only the main thread can be interrupted."""
    if current_thread() is not main_thread():
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    # Forbidden in the sandbox of the service, where limits are the unit's business.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limits[1]))

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"takes longer than {seconds:g} s")

    before = signal(SIGALRM, interrupt)
    setitimer(ITIMER_REAL, seconds)
    try:
        yield
    finally:
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, before)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, limits)


def _variables(event: Event, around: Circumstances) -> dict[str, Any]:
    """Return what a template may use; docs/notifications.md lists it."""
    plain = {part.name: getattr(event, part.name) for part in fields(event)}
    return plain | {
        "kind": str(event.kind),
        "state": event.state.replace("_", " "),
        "battery": battery(event),
        "plan": plan(event),
        "down": ", ".join(
            line.name for line in event.hosts if line.phase in GOING and not line.dry_run
        ),
        "fleet": around.fleet,
        "server": around.server,
        "now": around.now,
        "late": around.late is not None,
    }
