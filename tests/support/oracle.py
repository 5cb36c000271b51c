"""What must never happen in a virtual fleet, and what must happen in bounded time.

The oracle knows what is true, which nobody in the fleet does. It judges every step by the safety
rules: S for what must never happen, L for what must, O for the order, W for waking, D for hosts
that lose their power while they run. It trusts no field of a plan where it can count itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from powmonman.core.due import Fate
from powmonman.core.plan import NEVER, Phase
from powmonman.core.policy import REARM
from powmonman.core.power import PowerState

if TYPE_CHECKING:
    from world import World
    from world_host import Host
    from world_server import Server

    from powmonman.core.messages import State

LEASE = 15.0
SHORT_STALLS = 2
MIN_OBSERVE = 60.0
KNOWN_WITHIN = 5 + 5 + 5 + 2 * 2 + LEASE
"""Seconds after which a return of the mains is known wherever the path is whole: debounce,
heartbeat, reconnect, transit, and a lease."""
DETECTED_WITHIN = 12.0
"""Seconds in which a server sees what has happened, or knows that it doesn't."""
CONFIRM = 2.0
SLACK = 4.0
PROMPT = 2.0
"""A network that delivers within this many seconds counts as whole."""
AFTER, WAIT_TIMEOUT = 600.0, 120.0


class ViolationError(AssertionError):
    """An invariant does not hold; its text begins with the invariant's name."""


@dataclass
class Ghost:
    """What the oracle knows of a host in this boot, or since it last woke from sleep.

    Attributes:
        out: The mains were really out.
        battery: Seconds that its client has lived since it first heard of battery; None: never.
        power: The last power state that it was told, unknown apart.
        whole: Seconds without a fault between the sensor and its client.
        broken: Seconds with one, since it last had fresh news.
        unheard: Seconds that its client lived without fresh news.
        bound: When it must have committed, were the deadline that its client tells the truth.
        furthest: The same, from the rules alone.
        deadline: The soonest that it has counted to in this outage, and the phase.
        waited: Seconds that it waited for others; a budget, so flapping begins no new one.
        free_at: When it was last told that nobody is left to wait for.
        stalls: Short ones in this outage.
        sheltered: Nothing has ever been wrong that could excuse the loss of its power.
        slept: It has slept, and has not found that out yet.
        order: The operator's order that it was told last.
        unknown: The servers that have lost what they knew of it.
        given_up: A server or the operator has, and no server has seen it since.
        ran: How often it has run its commands, and how long the mains were good since.
    """

    out: bool = False
    battery: float | None = None
    power: PowerState = PowerState.UNKNOWN
    whole: float = 0.0
    broken: float = 0.0
    unheard: float = 0.0
    bound: float | None = None
    furthest: float | None = None
    deadline: tuple[Phase, float] | None = None
    waited: float = 0.0
    free_at: float = NEVER
    stalls: int = 0
    ran: int = 0
    good_since_run: float = 0.0
    sheltered: bool = True
    slept: bool = False
    order: str = ""
    unknown: set[str] = field(default_factory=set)
    given_up: bool = False


class Oracle:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ghosts = {host.name: Ghost() for host in world.hosts}
        # Seconds that a battery can have been used at the most, as anybody could know.
        self.used = {host.name: 0.0 for host in world.hosts}
        self.good_for = 1e9
        self.out_for = 0.0
        self.sheltered = True

    def fail(self, rule: str, host: Host | None, what: str) -> None:
        """Object."""
        wrongful = rule.startswith(("S", "O"))
        self.world.figures.wrongful += wrongful
        self.world.figures.missed += not wrongful
        plan = f": {host.plan}" if host is not None else ""
        name = f" {host.name}" if host is not None else ""
        raise ViolationError(f"{rule}{name} at {self.world.time:.0f}: {what}{plan}")

    # What happens.
    def booted(self, host: Host) -> None:
        old = self.ghosts[host.name]
        self.ghosts[host.name] = Ghost(
            out=self._just_out(),
            unknown=old.unknown,
            sheltered=host.woken,
            given_up=old.given_up,
        )

    def resumed(self, host: Host) -> None:
        """Whatever it knew is from before its sleep; that it has run its commands stays."""
        old = self.ghosts[host.name]
        self.ghosts[host.name] = Ghost(
            out=self._just_out(),
            unknown=old.unknown,
            given_up=old.given_up,
            ran=old.ran,
            good_since_run=old.good_since_run,
            sheltered=False,
            slept=True,
        )

    def _just_out(self) -> bool:
        return not self.world.mains or self.good_for < KNOWN_WITHIN

    def forgot(self, host: Host) -> None:
        """It says that it has slept."""
        ghost = self.ghosts[host.name]
        if not ghost.slept:
            self.fail("L1", host, "it believes that it slept")
        ghost.slept = False

    def stopped(self, host: Host, seconds: float) -> None:
        """It stands still: the bounds move by that, and by a lease where one more is granted.

        It also trusts nothing that it has heard, so its silence begins with no news to live on.
        """
        ghost = self.ghosts[host.name]
        ghost.unheard, ghost.broken = 0.0, LEASE
        later = seconds + 1
        if seconds >= LEASE or ghost.stalls < SHORT_STALLS:
            later += LEASE
        ghost.stalls += LEASE / 5 < seconds < LEASE
        if ghost.deadline is not None:
            ghost.deadline = (ghost.deadline[0], ghost.deadline[1] + seconds + SLACK)
        if ghost.furthest is not None:
            ghost.furthest += later
        if seconds > LEASE / 5:
            ghost.bound = None

    def restarted(self, host: Host) -> None:
        """A crash costs what the client had not written: a second of counting."""
        ghost = self.ghosts[host.name]
        ghost.unheard, ghost.bound, ghost.deadline = 0.0, None, None
        if host.plan.phase is Phase.IDLE:
            ghost.furthest = None
        elif ghost.furthest is not None:
            ghost.furthest += SLACK

    def reloaded(self, host: Host) -> None:
        ghost = self.ghosts[host.name]
        ghost.bound = ghost.furthest = ghost.deadline = None
        ghost.sheltered = ghost.sheltered and host.rules.after in (None, AFTER)
        self.sheltered = self.sheltered and host.rules.wait_timeout <= WAIT_TIMEOUT

    def said(self, server: Server, state: PowerState) -> None:
        """What a server says of the mains must have been true within its detection."""
        if server.reads is not None:
            return
        if state is not PowerState.UNKNOWN and self.world.time - server.started < CONFIRM:
            self.fail("S2", None, f"{server.name} says {state} before its sensor has settled")
        if state is PowerState.ON_MAINS and min(self.out_for, server.ran_for) > DETECTED_WITHIN:
            self.fail("L1", None, f"{server.name} says on mains")
        if state is PowerState.ON_BATTERY and min(self.good_for, server.ran_for) > DETECTED_WITHIN:
            self.fail("S3", None, f"{server.name} says on battery")

    def ordered(self) -> None:
        """The operator has the last word: nobody is woken after his order."""
        for ghost in self.ghosts.values():
            ghost.given_up = True

    def policy_changed(self) -> None:
        """The fleet's rules are others; so is what they promise."""
        self.sheltered = False
        for ghost in self.ghosts.values():
            ghost.furthest = None

    def known_to(self, server: Server, host: Host) -> None:
        ghost = self.ghosts[host.name]
        ghost.unknown.discard(server.name)
        ghost.given_up = False

    def unknown_to(self, server: Server, host: Host) -> None:
        self.ghosts[host.name].unknown.add(server.name)

    def settled(self, server: Server, host: Host, fate: Fate) -> None:
        ghost = self.ghosts[host.name]
        if fate is Fate.GIVEN_UP:
            ghost.given_up = True
        elif fate is Fate.BACK and not host.on:
            self.fail("L3", host, f"{server.name} says that it is back")

    def hears(self, host: Host, state: State) -> None:
        """A state arrives; what the client makes of it is not known yet."""
        ghost, news = self.ghosts[host.name], state.upses["ups"]
        sent = dict(host.plan.pings).get(state.echo)
        if host.dead_link:
            return
        if sent is not None and not state.own.waits:
            ghost.free_at = self.world.time
        if state.own.order is not None:
            ghost.order = state.own.order.id
        if news.state is PowerState.UNKNOWN:
            return
        ghost.power = news.state
        age = host.now().running - sent if sent is not None else 2 * LEASE
        if age <= LEASE:
            ghost.unheard = 0.0
            # What came late leaves less than a third of a lease to live on.
            ghost.broken = 0.0 if age <= LEASE * 2 / 3 else LEASE
        if news.state is PowerState.ON_BATTERY:
            ghost.battery = ghost.battery or 0.0

    def heard(self, host: Host, state: State) -> None:
        """It has taken the state."""
        ghost, phase = self.ghosts[host.name], host.plan.phase
        counts = phase in (Phase.COUNTING, Phase.WAITING)
        if host.dead_link:
            return
        if state.upses["ups"].state is PowerState.ON_MAINS:
            ghost.bound = ghost.furthest = ghost.deadline = None
            if counts and not host.plan.ordered:
                self.fail("S5", host, "the return of the mains does not cancel")
        elif counts and ghost.power is PowerState.ON_BATTERY and ghost.furthest is None:
            after = host.rules.after if host.rules.after is not None else state.policy.after
            longest = max(after, MIN_OBSERVE)
            if host.rules.wait_for:
                longest += host.rules.wait_timeout
            ghost.stalls = 0
            ghost.furthest = self.world.time + longest

    def committed(self, host: Host) -> None:
        ghost, world = self.ghosts[host.name], self.world
        figures, plan = world.figures, host.plan
        figures.commits += 1
        ghost.ran += 1
        if ghost.ran > 1 and ghost.good_since_run < REARM - 2 * LEASE:
            self.fail("S4", host, "its commands run twice")
        ghost.good_since_run = 0.0
        if plan.ordered:
            if not ghost.order:
                self.fail("S1", host, "nobody has given an order")
            return
        if world.calming and self.good_for > 2 * KNOWN_WITHIN:
            self.fail("S3", host, "although all is well")
        if not ghost.out:
            self.fail("S1", host, "no outage since its boot")
        if ghost.power is not PowerState.ON_BATTERY:
            self.fail("S2", host, f"last told {ghost.power}")
        if ghost.battery is None:
            self.fail("S6", host, "on what was known before its boot or sleep")
        if (ghost.battery or 0.0) < MIN_OBSERVE - SLACK:
            self.fail("S1", host, f"after {ghost.battery:.0f} s of battery with its own eyes")
        least = min(AFTER, world.least_after)
        used = self.used[host.name]
        if used < least - SLACK:
            self.fail("S1", host, f"too early: {used:.0f} s of battery used")
        if min(self.good_for, ghost.whole) >= KNOWN_WITHIN:
            self.fail("S3", host, f"{self.good_for:.0f} s after the return of the mains")
        self._in_order(host, ghost)
        if ghost.bound is not None and not world.mains:
            figures.late = max(figures.late, world.time - ghost.bound)
        ghost.bound = ghost.furthest = ghost.deadline = None

    def _in_order(self, host: Host, ghost: Ghost) -> None:
        """A state may be a lease old."""
        if not host.rules.wait_for or self.world.time - ghost.free_at <= 2 * LEASE:
            return
        self.world.figures.waited += 1
        if ghost.waited < self.longest_wait(host) - SLACK:
            self.fail("O", host, f"after a wait of {ghost.waited:.0f} s only")

    def longest_wait(self, host: Host) -> float:
        return min(host.plan.wait_timeout, host.rules.wait_timeout)

    def woken(self, host: Host) -> None:
        if self.out_for > KNOWN_WITHIN:
            self.fail("W", host, "it is woken into an outage")

    def lost_power(self, host: Host) -> None:
        ghost = self.ghosts[host.name]
        if self.sheltered and ghost.sheltered and host.machine == "on" and not host.stubborn:
            self.fail("D", host, "it loses its power while it runs")

    # What is true in every moment.
    def moment(self, dt: float) -> None:
        world = self.world
        if world.mains:
            self.good_for += dt
            self.out_for = 0.0
        else:
            world.figures.outages += self.good_for > 0
            self.good_for = 0.0
            self.out_for += dt
        if not all(server.runs and server.sensor_works for server in world.servers):
            self.sheltered = False
        out = not world.mains or any(server.supply.outage for server in world.servers)
        for host in world.hosts:
            believed = self.ghosts[host.name].power is PowerState.ON_BATTERY
            self.used[host.name] += dt * (out or believed)
            if host.on:
                self._lives(host, dt)

    def _lives(self, host: Host, dt: float) -> None:
        ghost, world = self.ghosts[host.name], self.world
        ghost.out = ghost.out or not world.mains
        if world.mains:
            ghost.good_since_run += dt
        whole = self._whole(host)
        ghost.whole = ghost.whole + dt if whole else 0.0
        if not whole or host.server is None or not host.acts:
            ghost.broken += dt
        if not host.linked or host.delay > PROMPT or host.scrambled or not host.acts:
            ghost.sheltered = False
        if host.acts:
            ghost.unheard += dt
            if ghost.battery is not None:
                ghost.battery += dt
        if host.plan.phase is Phase.WAITING and not host.asleep:
            ghost.waited += dt

    def _whole(self, host: Host) -> bool:
        """Whether all between the sensor and this client works, whichever server it may choose."""
        servers = [host.server] if host.server is not None else self.world.servers
        return (
            host.linked
            and host.delay <= PROMPT
            and all(server.knows and server.reads is None for server in servers)
        )

    def after_all(self) -> None:
        """Judge every host once all have acted."""
        for host in self.world.hosts:
            ghost = self.ghosts[host.name]
            if host.machine != "on" or not host.acts or host.plan.phase is Phase.COMMITTED:
                ghost.bound = None
                continue
            self._reported(host, ghost)
            self._bounded(host, ghost)
            self._never_later(host, ghost)

    def _reported(self, host: Host, ghost: Ghost) -> None:
        """L4, and its reverse: contact is lost only where something was broken for a lease."""
        if ghost.unheard > 3 * LEASE and host.plan.reminded == NEVER:
            self.fail("L4", host, f"{ghost.unheard:.0f} s without news, and not a word")
        known = ghost.power is not PowerState.UNKNOWN and not host.scrambled
        if known and host.plan.silent >= LEASE > ghost.broken:
            self.fail("L4", host, f"contact lost after {ghost.broken:.0f} s without it")

    def _bounded(self, host: Host, ghost: Ghost) -> None:
        """L1 and L2: an outage that lasts, once it is known, ends in a commit."""
        if self.world.mains:
            ghost.bound = None
            ghost.furthest = None
            return
        plan = host.plan
        left = plan.left(host.rules)
        if ghost.bound is None and left is not None and plan.power is PowerState.ON_BATTERY:
            waits = plan.phase is Phase.COUNTING and host.rules.wait_for
            ghost.bound = self.world.time + left + (self.longest_wait(host) if waits else 0.0)
        stalls = LEASE * (min(plan.short_stalls, SHORT_STALLS) + 1) + SLACK
        for name, bound in (("its deadline", ghost.bound), ("the rules", ghost.furthest)):
            if bound is not None and self.world.time > bound + stalls:
                self.fail("L1", host, f"due {bound:.0f} by {name}, and still up")

    def _never_later(self, host: Host, ghost: Ghost) -> None:
        """S5: no deadline moves later, except by a cancel."""
        left = host.plan.left(host.rules)
        if left is None or self.world.mains:
            ghost.deadline = None
            return
        phase, deadline = host.plan.phase, self.world.time + left
        if ghost.deadline is not None and ghost.deadline[0] is phase:
            if left > 0 and deadline > ghost.deadline[1] + SLACK:
                self.fail("S5", host, f"deadline {ghost.deadline[1]:.0f} is now {deadline:.0f}")
            deadline = min(deadline, ghost.deadline[1])
        ghost.deadline = (phase, deadline)
