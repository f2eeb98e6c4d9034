"""A Redis of the tests' own, as a server's is: append-only, on a Unix socket in a temporary folder, gone at the end."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


class Broker:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Start it; its files and its socket lie in `folder`."""
        self._folder = folder
        self.url = f"redis+socket://{folder}/socket"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it has read what it had written."""
        options = ["--port", "0", "--unixsocket", "socket", "--appendonly", "yes", "--save", "", "--logfile", "log"]
        self._popen = subprocess.Popen(["redis-server", *options], cwd=self._folder, start_new_session=True)
        limit = time.monotonic() + 20.0
        while True:
            try:
                self.ask("PING")
            except redis.ConnectionError:
                assert self._popen.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < limit
                time.sleep(0.01)
            else:
                return

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._popen.pid

    def kill(self) -> None:
        """End it as a lost power would."""
        self._popen.kill()
        self._popen.wait()

    def ask(self, *command: str) -> object:
        """Run one command of Redis."""
        with redis.Redis(unix_socket_path=str(self._folder / "socket")) as client:
            return client.execute_command(*command)


@contextmanager
def start() -> Iterator[Broker]:
    """Start a server; kill and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="grader-redis-"))
    try:
        broker = Broker(folder)
        try:
            yield broker
        finally:
            broker.kill()
    finally:
        shutil.rmtree(folder)
