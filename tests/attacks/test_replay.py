"""What was said once proves nothing when it is said again."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.integration.daemon import wait_for
from tests.integration.peers import TIMEOUT, FalseServer, dropped, mains, nonce, outage
from tests.integration.stage import together

if TYPE_CHECKING:
    from tests.integration.fleet import Fleet


class Relay:
    """Somebody on the way, who keeps the bytes of both sides as they pass."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.to_server, self.to_client = bytearray(), bytearray()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            with near, socket.create_connection(self._to, TIMEOUT) as far:
                back = threading.Thread(target=_carry, args=(far, near, self.to_client))
                back.start()
                _carry(near, far, self.to_server)
                back.join()

    def close(self) -> None:
        """End; both sides must have hung up."""
        self._thread.join(TIMEOUT)
        self._listener.close()


def _carry(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            sink.sendall(data)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


@together
def test_a_recorded_session_played_again_moves_neither_server_nor_host(fleet: Fleet) -> None:
    """All bytes of a host in an outage, to its commit."""
    server = fleet.server(policy__after=1.5)
    relay = Relay(fleet.port)
    nas = fleet.client("nas", servers=[f"127.0.0.1:{relay.port}"])
    fleet.up(server, nas)
    fleet.mains("off")
    fleet.down("nas")
    server.says("nas is committed")
    nas.kill()
    relay.close()
    server.says("nas has left")
    fleet.mains("on")
    server.says("is over after")
    before = fleet.row(server, "nas")

    with socket.create_connection(("127.0.0.1", fleet.port), TIMEOUT) as again:
        again.sendall(relay.to_server)
        assert dropped(again, within=TIMEOUT)
    server.says("refused a stranger at 127.0.0.1: TLS: ")
    assert before["for"] <= fleet.row(server, "nas")["for"]
    assert not fleet.row(server, "nas")["connected"]

    db = fleet.client("db", policy__min_observe=0, policy__confirm=0)
    with _playing(bytes(relay.to_client)) as port:
        db.configure(servers=[f"127.0.0.1:{port}"])
        db.start().says(f"no connection: 127.0.0.1 port {port}: ")
        db.kill()
    assert db.said("server found|on battery · outage") == []
    assert fleet.ran("db") == []


@contextlib.contextmanager
def _playing(data: bytes) -> Any:
    """Answer whoever calls with `data`, on the port that is returned."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(data)
                        dropped(connection, within=2)

        player = threading.Thread(target=serve, daemon=True)
        player.start()
        yield listener.getsockname()[1]
        # close() alone leaves accept() waiting.
        listener.shutdown(socket.SHUT_RDWR)
        player.join(TIMEOUT)


@together
def test_an_old_state_said_again_is_no_ground_for_a_shutdown(fleet: Fleet) -> None:
    """By somebody who got between server and host: it answers no ping, so it may be of any age.

    The host asks, and waits for an answer or for a whole lease of silence; the answer comes.
    """
    lease = 6.0
    answering = threading.Event()

    def answer(heard: bytes, turn: int) -> bytes:
        if answering.is_set():
            return mains(turn, echo=nonce(heard), lease=lease)
        return outage(turn, echo=0, lease=lease)

    nas = fleet.client("nas", policy__min_observe=0.2, policy__confirm=0.1, policy__after=1)
    relay = FalseServer(fleet.authority.server, fleet.port, answer)
    try:
        nas.start().says("on battery · outage")
        nas.says("deadline reached · waiting for fresh news, or for silence of a whole lease")
        time.sleep(1)
        assert fleet.history == []
        answering.set()
        nas.says("mains are back")
        time.sleep(0.3)
        assert fleet.history == []
        wait_for("it asked", lambda: b'"type":"ping"' in relay.heard)
    finally:
        relay.close()


@together
def test_an_order_said_again_is_not_obeyed_again(fleet: Fleet) -> None:
    """Nor one that answers no ping, nor one that is older than this host's contact."""
    fresh = threading.Event()

    def answer(heard: bytes, turn: int) -> bytes:
        order = {"id": "a" * 32, "age": 1e6 if fresh.is_set() else 0.0}
        state = json.loads(mains(turn, echo=nonce(heard) if fresh.is_set() else 0))
        return json.dumps({**state, "own": {"order": order}}).encode() + b"\n"

    nas = fleet.client("nas")
    false = FalseServer(fleet.authority.server, fleet.port, answer)
    try:
        nas.start().says("server found")
        time.sleep(0.5)
        fresh.set()
        heard = len(false.heard)
        wait_for("it has heard of it", lambda: false.heard.count(b'"ack"', heard) > 3)
        assert nas.running
        assert fleet.history == []
    finally:
        false.close()
