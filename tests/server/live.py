"""A server as an operator starts it: a process of its own, reached over a socket."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grader

_RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")


class Live:
    """A running server, and what it has logged."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait until it listens."""
        self.process = process
        self.log: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(line)
            if found := _RUNNING.search(line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("".join(self.log))
        self._reader = threading.Thread(target=lambda: self.log.extend(process.stderr or []), daemon=True)
        self._reader.start()

    def connect(self) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def request(self, method, path, token="", body=None, **headers):
        """Send a request on a connection of its own; return status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            content = json.dumps(body) if isinstance(body, dict) else body
            known = {"Authorization": f"Bearer {token}"} if token else {}
            known |= {"Content-Type": "application/json"} if isinstance(body, dict) else {}
            connection.request(method, path, body=content, headers=known | headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def stop(self) -> int:
        """Ask it to end, as an init system does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=10)
        return code


@contextlib.contextmanager
def start(*arguments: str, **environment: str) -> Iterator[Live]:
    """Start `grader serve` with more arguments; end it at the end, whatever happened."""
    process = subprocess.Popen(
        [sys.executable, "-m", "grader", "serve", "--port", "0", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(grader.__file__).parents[1])} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Live(process)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


class Stream:
    """A stream of server-sent events, read line by line."""

    def __init__(self, server, path, token, last=""):
        """Ask for it; what came after the event `last` is wanted."""
        self.socket = server.connect()
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        self.socket.sendall(f"{head}Last-Event-ID: {last}\r\nConnection: close\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])

    def events(self):
        """Yield name, id and data of each event until the stream ends."""
        fields = {}
        for raw in self.file:
            line = raw.decode().strip()
            name, _, value = line.partition(": ")
            if name in {"event", "id", "data"}:
                fields[name] = value
            elif not line and "data" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
                fields = {}

    def close(self):
        """Leave."""
        self.file.close()
        self.socket.close()
