"""A TCP proxy that cuts connections where a test says, and remembers what went through."""

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field


@dataclass
class Cut:
    """Cuts the next `times` connections in which the client has sent `after`.

    `up` more bytes reach the server first, and `down` bytes of its answer the client; None is all of them. With
    `hold`, the connection is not cut there: it stays open, and silent.
    """

    after: bytes
    up: int | None = None
    down: int | None = None
    times: int = 1
    hold: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on a port of its own; `port` is the server's, which may change."""

    def __init__(self, port, tls=None):
        """Listen; `tls` is a context for the side of the client."""
        self.target = port
        self.connections = 0
        self.sent = bytearray()
        self.received = bytearray()
        self.cuts = []
        self._tls = tls
        self._open = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, after, **how):
        """Cut the next connection in which this is sent; returns the cut, whose `done` tells when it was."""
        self.cuts.append(Cut(after, **how))
        return self.cuts[-1]

    def close(self):
        """Stop listening and end every connection."""
        _end(self._listener)
        self.drop()

    def drop(self):
        """End every connection, and take new ones."""
        while self._open:
            _end(self._open.pop())

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError):
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target))
            self._open += [client, server]
            state = Passage(self, client, server)
            threading.Thread(target=state.down, daemon=True).start()
            state.up()
            return
        _end(client)


class Passage:
    """One connection through the proxy."""

    def __init__(self, proxy, client, server):
        """Pass everything, until a cut is met."""
        self.proxy, self.client, self.server = proxy, client, server
        self.seen = bytearray()
        self.met = None

    def up(self):
        """Pass what the client sends."""
        passed = 0
        for chunk in _chunks(self.client):
            self.proxy.sent += chunk
            self.seen += chunk
            if self.met is None:
                self.met = next((cut for cut in self.proxy.cuts if cut.times and cut.after in self.seen), None)
                if self.met:
                    self.met.times -= 1
                    self.left = self.met.down
            if self.met is None or self.met.up is None:
                _send(self.server, self.seen[passed:])
                passed = len(self.seen)
            else:
                last = self.seen.index(self.met.after) + len(self.met.after) + self.met.up
                _send(self.server, self.seen[passed:last])
                passed = max(passed, min(last, len(self.seen)))
                if len(self.seen) >= last:
                    return self.end()
        return _end(self.server)

    def down(self):
        """Pass what the server answers."""
        for chunk in _chunks(self.server):
            if self.met and self.met.down is not None:
                _send(self.client, chunk[: self.left])
                self.left -= len(chunk)
                if self.left <= 0:
                    return self.end()
                continue
            self.proxy.received += chunk
            _send(self.client, chunk)
        return None if self.met and self.met.hold else _end(self.client)

    def end(self):
        """Cut the connection."""
        assert self.met is not None
        self.met.done.set()
        if not self.met.hold:
            _end(self.client)
            _end(self.server)


def _chunks(source):
    with contextlib.suppress(OSError, ssl.SSLError):
        while chunk := source.recv(1 << 16):
            yield chunk


def _send(target, data):
    with contextlib.suppress(OSError):
        target.sendall(data)


def _end(each):
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
