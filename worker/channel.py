"""A socket of its own for each container: what goes through the daemon goes at a tenth of the speed.

The judge makes a private folder with a listening AF_UNIX socket in it, and the socket alone is bound into the
container, read-only. The harness connects before it answers the judge's first question, when nothing of the student's
has been loaded. The judge takes one connection, sees whose it is, and removes listener, socket and folder at once: what
stays in the container is the name of a socket that nobody listens on. Bytes cross, and nothing else: the judge never
receives descriptors, and opens no file that a sandbox could have made.

Where the harness does not connect (the daemon is elsewhere, remaps users or refuses the mount; gVisor, SELinux) the
streams that are attached to the container go on as they began.
"""

import contextlib
import os
import socket
import stat
import struct
import tempfile
from pathlib import Path

from grader import owner

TARGET = "/sandbox/channel"
"""Where the harness finds the socket."""
_PREFIX = "grader-docker_"
_NAME = "s"
_SUFFIX = 9
"""What mkdtemp makes of the end: a separator of ours and eight characters."""
_CREDENTIALS = struct.Struct("iII")


class Channel:
    """A folder that only the judge may enter, and a listening socket in it for one connection."""

    def __init__(self, user: int) -> None:
        """Make both for a container whose processes run as `user`. Raises OSError."""
        self._user = user
        _, world = _me()
        self._folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{world.replace(':', '_')}_")
        self.path = f"{self._folder}/{_NAME}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            folder = os.open(self._folder, os.O_PATH)
            try:  # by a name that fits, wherever the folder is, and that tells the other end nothing
                self._listener.bind(f"/proc/self/fd/{folder}/{_NAME}")
            finally:
                os.close(folder)
            if os.geteuid() == 0:
                os.chmod(self.path, 0o600)  # noqa: PTH101 - beside chown, which pathlib lacks
                os.chown(self.path, user, user)
            else:
                os.chmod(self.path, 0o666)  # noqa: PTH101, S103 - below a folder that nobody else may enter
            self._listener.listen(0)  # one waits, no more
        except BaseException:
            self.remove()
            raise

    def accept(self) -> socket.socket | None:
        """Return the connection if the container's user has made one, never blocking; nobody can connect after this."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None
        finally:
            self.remove()
        if peer(connection)[1] != self._user:
            connection.close()
            return None
        os.set_blocking(connection.fileno(), False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # urgent bytes are bytes like others
        return connection

    def remove(self) -> None:
        """Close the listener, remove socket and folder. Safe to call twice."""
        self._listener.close()
        _remove(self._folder)


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return process id (0: not visible from here) and user id of who connected, or of who listens."""
    size = _CREDENTIALS.size
    process, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return process, user


def is_near(address: str) -> bool:
    """Tell whether `address`, as in DOCKER_HOST, is the socket of a daemon that sees this process's files.

    Not of a daemon elsewhere or outside this container, nor of `worker.guard`, which admits no mount.
    """
    scheme, _, path = (address or "unix:///var/run/docker.sock").partition("://")
    if scheme != "unix":
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            process, _ = peer(connection)
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip() if process else ""
    except OSError:
        return False
    return process == 1 or name == "dockerd"  # the first process listens where it starts the daemon on demand


def orphans() -> list[str]:
    """List the folders of judges that have died, by their names."""
    machine, _ = _me()
    found = [entry.path for entry in os.scandir(tempfile.gettempdir()) if entry.name.startswith(_PREFIX)]
    names = {path: path.rpartition("/")[2].removeprefix(_PREFIX)[:-_SUFFIX] for path in found}
    return [path for path in found if owner.is_alive(f"{machine}:{names[path].replace('_', ':')}") is False]


def remove_orphans() -> None:
    """Remove the folders of judges that have died; what is somebody else's stays."""
    for folder in orphans():
        _remove(folder)


def _me() -> tuple[str, str]:
    """Return the two halves of this process's owner text: the machine, which no folder names, and the process."""
    host, boot, process = owner.me().split(":", 2)
    return f"{host}:{boot}", process


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        seen = os.lstat(folder)
        if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid():  # not what somebody else has put into /tmp
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}/{_NAME}")  # noqa: PTH108 - a path it was made with
            os.rmdir(folder)  # noqa: PTH106 - likewise
