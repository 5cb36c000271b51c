"""The kernel's events (uevents) about one kind of device: a hint to look, never the truth.

They come by a netlink socket that anyone may open, and are lost when nobody reads for long, so who
listens polls as well. The kernel sends them to network namespaces of the first user namespace
alone: in a container with its own users none arrive, and the socket opens as if they did. A
service's `PrivateUsers=` changes nothing, it keeps the host's network.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket

# <linux/netlink.h>: NETLINK_KOBJECT_UEVENT; its group 1 is the kernel's, 2 is udev's.
_PROTOCOL = 15
_GROUP = 1
# <linux/nsfs.h>: NS_GET_USERNS; <linux/proc_ns.h>: PROC_USER_INIT_INO.
_NS_GET_USERNS = 0xB701
_FIRST_USER_NAMESPACE = 0xEFFFFFFD

# Messages taken before anything else gets its turn.
_AT_ONCE = 64


class Uevents:
    """Events of one subsystem, such as power_supply.

    Attributes:
        fault: Why there are none, or empty.
        certain: They are known to arrive in this network namespace.
    """

    def __init__(self, subsystem: str) -> None:
        self._wanted = f"SUBSYSTEM={subsystem}".encode()
        self._socket: socket.socket | None = None
        self.fault = ""
        self.certain = False

    @property
    def opened(self) -> bool:
        """Whether `open` was called, successful or not."""
        return self._socket is not None or self.fault != ""

    def open(self) -> None:
        """Listen from now on. Where that can't be, `fault` says why."""
        if self.opened:
            return
        try:
            self.certain = _is_certain()
            self._socket = _subscribed()
        except OSError as error:
            self.fault = (error.strerror or str(error)).lower()

    def close(self) -> None:
        """Listen no more; `open` begins anew."""
        if self._socket:
            self._socket.close()
        self._socket, self.fault = None, ""

    async def wait(self) -> None:
        """Return after an event; where there are none, never.

        Events that came since the last call count.
        """
        self.open()
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        if self._socket:
            descriptor = self._socket.fileno()
            loop.add_reader(descriptor, lambda: news.set() if self._drain() else None)
            try:
                await news.wait()
            finally:
                loop.remove_reader(descriptor)
        if not self._socket:
            await asyncio.Event().wait()

    def _drain(self) -> bool:
        """Take what has arrived; return whether it is worth a look."""
        worth = False
        for _ in range(_AT_ONCE):
            try:
                worth = self._is_wanted(*self._received()) or worth
            except BlockingIOError:
                break
            except OSError as error:
                worth = True
                # ENOBUFS: events were lost, which is a reason to look, and nothing else.
                if error.errno != errno.ENOBUFS:
                    self._broken(error)
                    break
        return worth

    def _received(self) -> tuple[bytes, tuple[int, int]]:
        if not self._socket:
            raise BlockingIOError
        return self._socket.recvfrom(8192)

    def _is_wanted(self, message: bytes, sender: tuple[int, int]) -> bool:
        return sender[0] == 0 and self._wanted in message.split(b"\0")

    def _broken(self, error: OSError) -> None:
        self.close()
        self.fault = (error.strerror or str(error)).lower()


def _subscribed() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _PROTOCOL
    )
    try:
        sock.bind((0, _GROUP))
    except OSError:
        sock.close()
        raise
    return sock


def _is_certain() -> bool:
    """Return whether events are known to arrive in this network namespace.

    Raises:
        OSError: They are known not to.
    """
    try:
        owner = _owner_of_the_network()
    except OSError:
        # EPERM: it belongs to a user namespace around ours. To the first one, mostly.
        return False
    if owner != _FIRST_USER_NAMESPACE:
        raise OSError("this container has a network and users of its own")
    return True


def _owner_of_the_network() -> int:
    network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
    finally:
        os.close(network)
    try:
        return os.fstat(owner).st_ino
    finally:
        os.close(owner)
