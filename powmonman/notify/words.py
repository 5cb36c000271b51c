"""The words of each event, as people read them on a phone at three in the morning.

They are Jinja2 templates, as the operator's own are (`notify.templates`); `rendering` fills them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from powmonman.config.notify_keys import Template
from powmonman.core.durations import duration
from powmonman.core.events import Kind
from powmonman.core.power import PowerState
from powmonman.core.presence import GOING

if TYPE_CHECKING:
    from powmonman.core.events import Event

HOSTS_NAMED = 8

_IN_OUTAGE = "{{ ups }} is on battery{% if since %} since {{ since | clock }}{% endif %}"
_BATTERY = "{% if battery %} ({{ battery }}){% endif %}"
_PLAN = "{% if plan %} {{ plan }}, unless the mains return.{% endif %}"

DEFAULTS: dict[Kind, Template] = {
    Kind.ON_BATTERY: Template(
        "Power lost: {{ ups }}",
        _IN_OUTAGE + _BATTERY + "." + _PLAN,
    ),
    Kind.ON_MAINS: Template(
        "Power back: {{ ups }}",
        "{{ ups }} is on mains again"
        "{% if length is not none %} after {{ length | duration }} on battery"
        "{% elif since %}; the outage began {{ since | clock }}{% endif %}" + _BATTERY + "."
        "{% if down %} Still down: {{ down }}.{% endif %}",
    ),
    Kind.LOW_BATTERY: Template(
        "Battery low: {{ ups }}",
        _IN_OUTAGE + ", and its battery is low" + _BATTERY + "." + _PLAN,
    ),
    Kind.COUNTDOWN: Template(
        "{{ host }} shuts down in {{ left | duration }}{% if dry_run %} (dry run){% endif %}",
        _IN_OUTAGE + _BATTERY + "." + _PLAN,
    ),
    Kind.HOST_COMMITTED: Template(
        "{{ host }} {% if dry_run %}would shut down now (dry run){% else %}shuts down now"
        "{% endif %}",
        "{{ host }} {% if dry_run %}would shut down now (dry run){% else %}shuts down now"
        "{% endif %}{% if reason %}: {{ reason }}{% endif %}.",
    ),
    Kind.HOST_DOWN: Template("{{ host }} is down", "{{ host }} has shut down, and is gone."),
    Kind.HOST_BACK: Template(
        "{{ host }} is back",
        "{{ host }} is connected again{% if since %}; it was gone since {{ since | clock }}"
        "{% endif %}.",
    ),
    Kind.HOST_LOST: Template(
        "{{ host }} is lost",
        "No contact with {{ host }}{% if length %} for {{ length | duration }}{% endif %}, although"
        " its power is on mains. While that lasts it would not hear of an outage. Look at the host,"
        " its network and powmonman-client.",
    ),
    Kind.HOST_GIVEN_UP: Template(
        "{{ host }} does not come back",
        "{{ host }} went down and was woken again and again, and is not back. It is given up:"
        " look at the host, its cable, and Wake-on-LAN in its firmware.",
    ),
    Kind.RECOVERED: Template(
        "{% if given_up %}Recovered, but for {{ given_up | join(', ') }}{% else %}All are back"
        "{% endif %}",
        "{{ back }} host{% if back != 1 %}s{% endif %} that the outage took down"
        " {% if back != 1 %}are{% else %}is{% endif %} back"
        "{% if length is not none %}, {{ length | duration }} after the return of the mains"
        "{% endif %}.{% if given_up %} Given up: {{ given_up | join(', ') }}.{% endif %}",
    ),
    Kind.SENSOR_UNKNOWN: Template(
        "Power unknown: {{ ups }}",
        "Nobody can tell whether {{ ups }} is on mains{% if reason %}: {{ reason }}{% endif %}."
        "{% if outage %} It was on battery before: hosts that count go on counting.{% else %}"
        " Until it is mended no outage is seen, and no host shuts down.{% endif %}",
    ),
    Kind.SENSOR_RECOVERED: Template(
        "Power known again: {{ ups }}",
        "{{ ups }} is {{ state }}"
        "{% if length %}; it was unknown for {{ length | duration }}{% endif %}.",
    ),
    Kind.ADVICE: Template("Look at {{ ups }}", "{{ ups }}: {{ reason }}"),
    Kind.ORDER: Template("Look at the order of shutdowns", "{{ reason }}"),
    Kind.CERTIFICATE: Template(
        "Certificate of {{ host or 'the server' }} "
        "{% if left > 0 %}ends in {{ left | duration }}{% else %}has ended{% endif %}",
        "Give {{ host or 'the server' }} a new one: the fleet's connections rest on it.",
    ),
    Kind.DRILL: Template(
        "{{ reason.split(':')[0] or 'A drill has ended' }}",
        "{% if reason %}{{ reason }}.{% endif %}",
    ),
    Kind.TEST: Template(
        "Test from PowMonMan",
        "Fleet {{ fleet }}, server {{ server }}: what is told will arrive here.",
    ),
}

# What becomes of a message, where the target makes a difference (colour, icon, priority).
TYPES: dict[Kind, str] = {
    Kind.ON_BATTERY: "warning",
    Kind.LOW_BATTERY: "failure",
    Kind.COUNTDOWN: "warning",
    Kind.HOST_COMMITTED: "failure",
    Kind.HOST_DOWN: "failure",
    Kind.HOST_LOST: "warning",
    Kind.HOST_GIVEN_UP: "failure",
    Kind.RECOVERED: "success",
    Kind.SENSOR_UNKNOWN: "warning",
    Kind.ADVICE: "warning",
    Kind.ORDER: "warning",
    Kind.CERTIFICATE: "warning",
    Kind.ON_MAINS: "success",
    Kind.HOST_BACK: "success",
    Kind.SENSOR_RECOVERED: "success",
}
# Of several events in one message the first of these gives it its title.
WEIGHT = [
    Kind.ON_BATTERY,
    Kind.LOW_BATTERY,
    Kind.ON_MAINS,
    Kind.HOST_COMMITTED,
    Kind.COUNTDOWN,
    Kind.HOST_DOWN,
    Kind.HOST_LOST,
    Kind.HOST_GIVEN_UP,
    Kind.SENSOR_UNKNOWN,
    Kind.RECOVERED,
    Kind.HOST_BACK,
    Kind.SENSOR_RECOVERED,
    Kind.ADVICE,
    Kind.ORDER,
    Kind.CERTIFICATE,
    Kind.DRILL,
    Kind.TEST,
]
# Before the title of a message about events of a drill, the operator's own words included.
DRILL = "DRILL · "


def battery(event: Event) -> str:
    """Return what is known of the battery: `charge 87 %, 12.9 V, about 25 min`."""
    known = []
    if event.charge is not None:
        known.append(f"charge {event.charge:.0f} %")
    if event.voltage is not None:
        known.append(f"{event.voltage:.1f} V")
    if event.runtime is not None and event.state is not PowerState.ON_MAINS:
        known.append(f"about {duration(event.runtime)}")
    return ", ".join(known)


def plan(event: Event) -> str:
    """Return who goes down when: `nas shuts down in 10 min, db in 15 min`."""
    going = [line for line in event.hosts if line.left is not None and line.phase not in GOING]
    parts: list[str] = []
    for line in going[:HOSTS_NAMED]:
        what = " shuts down" if not parts else ""
        dry = " (dry run)" if line.dry_run else ""
        parts.append(f"{line.name}{dry}{what} in {duration(line.left or 0.0)}")
    if rest := len(going) - len(parts) + (event.more_hosts if going else 0):
        parts.append(f"{rest} more later")
    return ", ".join(parts)


def clock(seconds: float, now: float) -> str:
    """Return a time of the wall clock as people read it, with its day where that is not today."""
    there, here = time.localtime(seconds), time.localtime(now)
    if there[:3] == here[:3]:
        return time.strftime("%H:%M", there)
    if there.tm_year == here.tm_year:
        return time.strftime("%d %b %H:%M", there).lstrip("0")
    return time.strftime("%Y-%m-%d %H:%M", there)
