"""A TCP proxy in front of a server that cuts, stalls, resets, or interferes with a COMMIT."""

import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

HOST = "127.0.0.1"
COMMIT = b"COMMIT\0"
_CHUNK = 256 * 1024
_TURN_SECONDS = 0.02
# A lost answer: the server has had this long to commit before the client hears that it is alone.
_AFTER_SECONDS = 0.2


class AtCommit(Enum):
    """What happens to the next COMMIT that a client sends."""

    PASS = "pass"
    #: Both sides are closed; the server never sees it.
    BEFORE = "before"
    #: The server gets it and answers; the client does not hear.
    AFTER = "after"
    #: The client is closed at once; the server gets it when `let_through` is called.
    HOLD = "hold"


class Proxy:
    """Listens on a port of its own and passes bytes on to the port that `upstream` names."""

    def __init__(self, upstream: Callable[[], int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[Pair] = set()
        self._lock = threading.Lock()
        self.at_commit = AtCommit.PASS
        self.word = COMMIT
        self.stalled = threading.Event()
        self.through = threading.Event()
        self.refusing = threading.Event()
        self.outliving = threading.Event()
        self.met = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def clear(self) -> None:
        """As if new: everything passes, and nobody is connected."""
        self.at_commit = AtCommit.PASS
        for event in (self.stalled, self.refusing, self.outliving, self.met):
            event.clear()
        self.through.set()
        self.cut()

    def arm(self, what: AtCommit, *, word: bytes = COMMIT) -> None:
        """Interfere with the next COMMIT, or whatever has `word` in it; `met` is set by it."""
        self.met.clear()
        self.through.clear()
        self.word = word
        self.at_commit = what

    def let_through(self) -> None:
        """The COMMIT that is held reaches the server now."""
        self.through.set()

    def cut(self, *, reset: bool = False) -> int:
        """End every connection, by a RST with `reset`; the number that there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.cut(reset=reset)
        return len(pairs)

    def freeze_present(self) -> None:
        """Nothing passes any more over the connections that there are; new ones are served."""
        with self._lock:
            for pair in self._pairs:
                pair.frozen.set()

    def close(self) -> None:
        """End for good."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.refusing.is_set():
            client.close()
            return
        try:
            server = socket.create_connection((HOST, self._upstream()))
        except OSError:
            client.close()
            return
        pair = Pair(self, client, server)
        with self._lock:
            self._pairs.add(pair)
        with suppress(OSError, ValueError):
            pair.pump()
        pair.finish()
        with self._lock:
            self._pairs.discard(pair)

    def take_commit(self) -> AtCommit:
        """Who meets the armed COMMIT has it alone."""
        with self._lock:
            what, self.at_commit = self.at_commit, AtCommit.PASS
        self.met.set()
        return what


class Pair:
    """One client and its connection to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._over = threading.Event()
        self.frozen = threading.Event()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def pump(self) -> None:
        """Pass bytes on until one side ends."""
        while not self._over.is_set():
            if self._is_still():
                self._over.wait(_TURN_SECONDS)
                continue
            ready, _, _ = select.select([self._client, self._server], [], [], _TURN_SECONDS)
            if self._is_still():
                continue
            if self._server in ready and not self._pass_on(self._server, self._client):
                return
            if self._client in ready and not self._from_client():
                return

    def cut(self, *, reset: bool) -> None:
        """End both sides; the pump closes them."""
        self._over.set()
        if reset:
            with suppress(OSError):
                self._client.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self._client.close()

    def finish(self) -> None:
        """Close what is open."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.close()

    def _is_still(self) -> bool:
        return self.frozen.is_set() or self._proxy.stalled.is_set()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> bool:
        data = source.recv(_CHUNK)
        if not data:
            return False
        sink.sendall(data)
        return True

    def _from_client(self) -> bool:
        try:
            data = self._client.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            # The server's session lives on, as it does when a machine dies without a word.
            while self._proxy.outliving.is_set() and not self._over.is_set():
                self._over.wait(_TURN_SECONDS)
            return False
        if self._proxy.at_commit is not AtCommit.PASS and self._proxy.word in data:
            return self._commit(data, self._proxy.take_commit())
        self._server.sendall(data)
        return True

    def _commit(self, data: bytes, what: AtCommit) -> bool:
        if what is AtCommit.PASS:
            self._server.sendall(data)
            return True
        if what is AtCommit.AFTER:
            self._server.sendall(data)
            select.select([self._server], [], [], _AFTER_SECONDS)
        self._client.close()
        if what is AtCommit.HOLD:
            self._proxy.through.wait(60)
            self._server.sendall(data)
            # Until the server has answered; closing earlier could be faster than its COMMIT.
            select.select([self._server], [], [], 10)
        return False
