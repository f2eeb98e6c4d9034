"""Our code inside a slot: it has the libraries imported, and forks a sandbox for each judging that asks for one.

It runs as a script beside harness.py and sees no submission. An order comes as one message with four descriptors (the
link, and the harness's requests, answers and prints); whoever sends it is trusted. Then there are three processes:

    zygote     waits: there is one fork at a time. Kills it when the judge hangs up the link; says there how it ended
    first      process 1 of new namespaces: mounts a /proc and a /tmp of their own, then reaps what is left to it
    harness    process 2, with no rights, under the strict filter of system calls; only here a submission is loaded

When `first` ends, the kernel ends everything else inside. A fork shares the zygote's memory layout and hash seed with
those before and after it, which containers of their own do not: that is what `isolation = "container"` buys.
"""

import base64
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import json
import os
import random
import select
import signal
import socket
import struct
import sys
from typing import Any

Order = dict[str, Any]

_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 4
_DESCRIPTORS_LIMIT = 256
_NAMESPACES = 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_READ_ONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_BIND, _REC, _PRIVATE = 1 << 12, 1 << 14, 1 << 18
_PDEATHSIG, _DUMPABLE, _SECCOMP, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 4, 22, 24, 38
_CAPABILITIES = 0x20080522  # the header's version, linux/capability.h
_SIGNALS = 128
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Import the libraries, and fork for each order until the judge hangs up."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "harness.py")  # noqa: PTH118, PTH120, PTH100 - as there
    harness: Any = importlib.machinery.SourceFileLoader("harness", place).load_module()
    sys.modules["__main__"] = harness  # as in a container of its own
    if json.loads(control.recv(_MESSAGE_BYTES))["torch"]:
        harness.warm_torch()
    importlib.import_module("encodings.ascii")  # what each fork would import: it opens files of the kernel
    gc.collect()
    gc.freeze()  # what is here stays, and its pages stay shared
    harness.use_large_pages()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, _DESCRIPTORS)
        if not message:
            return
        _breed(harness, json.loads(message), control, *descriptors)


def _breed(harness: Any, order: Order, control: socket.socket, link: int, *streams: int) -> None:
    """Fork a sandbox, wait until it has ended or the judge hangs up, and report how it ended."""
    user, group = os.getuid(), os.getgid()
    alive_out, alive_in = os.pipe()  # its end tells that `first` has ended
    first = _clone()
    if first == 0:
        control.close()
        os.close(link)
        os.close(alive_out)
        _begin(harness, order, (user, group), alive_in, streams)
    for descriptor in (alive_in, *streams):
        os.close(descriptor)
    select.select([link, alive_out], [], [])
    os.kill(first, signal.SIGKILL)  # not waited for yet: the number is still its own
    _, ended, used = os.wait4(first, 0)
    report = {"exit": _exit_code(ended), "cpu_seconds": used.ru_utime + used.ru_stime, "rss_kib": used.ru_maxrss}
    with contextlib.suppress(OSError):
        os.write(link, json.dumps(report).encode())
    os.close(link)
    os.close(alive_out)


def _clone() -> int:
    """Fork into new namespaces, as os.fork but for them; one thread only, and no fork handlers but Python's."""
    ctypes.pythonapi.PyOS_BeforeFork()
    number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    pid = ctypes.PyDLL(None, use_errno=True).syscall(number, ctypes.c_ulong(_NAMESPACES | signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    _call("clone", min(pid, 0))
    return int(pid)


def _begin(harness: Any, order: Order, user: "tuple[int, int]", alive: int, streams: "tuple[int, ...]") -> None:
    """Be process 1: dress the namespaces, give up every right, fork the harness, reap; ends the process."""
    status = 1
    try:
        _prctl(_PDEATHSIG, signal.SIGKILL)
        _map_user(*user)
        _dress(order)
        _drop_rights()
        _prctl(_DUMPABLE, 0)  # /proc/1 is closed to the harness's process, from its first moment
        child = os.fork()
        if child == 0:
            os.close(alive)
            _serve(harness, order, streams)
        for descriptor in streams:
            os.close(descriptor)
        while True:
            pid, ended = os.wait()
            if pid == child:
                status = _exit_code(ended)
                break
    except BaseException as error:  # noqa: BLE001 - there is nobody above
        os.write(streams[2], f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _serve(harness: Any, order: Order, streams: "tuple[int, ...]") -> None:
    """Be the harness, with the judge's pipes for standard descriptors; ends the process."""
    try:
        for standard, descriptor in enumerate(streams):
            os.dup2(descriptor, standard)
        os.closerange(3, _DESCRIPTORS_LIMIT)
        _prctl(_DUMPABLE, 1)  # its own files in /proc are its own
        os.setsid()
        os.chdir("/tmp")  # noqa: S108 - its own
        _reseed()
        _filter(base64.b64decode(order["filter"]))
        harness.main()
    except BaseException as error:  # noqa: BLE001 - as Python does at the end of a script
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        ctypes.pythonapi.Py_Exit(1)


def _map_user(user: int, group: int) -> None:
    """Be one user, who is the zygote's outside, and may become no other."""
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
            file.write(content)


def _dress(order: Order) -> None:
    """Mount what is the fork's own: /proc without what tells of the machine, and an empty /tmp (and /dev/shm)."""
    _call("sethostname", _libc.sethostname(b"s", 1))
    _mount("none", "/", flags=_REC | _PRIVATE)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for path in order["hidden"]:
        with contextlib.suppress(FileNotFoundError):
            _mount("/dev/null", path, flags=_BIND)
            _mount("none", path, flags=_BIND | _REMOUNT | _READ_ONLY | _NOSUID | _NOEXEC)
    options = f"size={order['scratch_bytes']},nr_inodes={order['scratch_files']},mode=700"
    for path in order["scratch"]:
        _mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)


def _drop_rights() -> None:
    """Give up the rights that a new user namespace brings, for good."""
    for number in range(64):
        if _libc.prctl(_CAPBSET_DROP, number, 0, 0, 0):
            break  # the kernel knows no more
    header = struct.pack("=Ii", _CAPABILITIES, 0)
    _call("capset", _libc.capset(header, bytes(24)))
    _prctl(_NO_NEW_PRIVS, 1)


def _reseed() -> None:
    """Have global generators of random numbers begin elsewhere than in the fork before."""
    random.seed()
    sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()  # `torch.seed` reads source files for each kind of GPU


def _filter(program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    program_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    by_filter = 2
    _call("seccomp", _libc.prctl(_SECCOMP, by_filter, program_, 0, 0))


def _exit_code(status: int) -> int:
    """Return the exit status, or 128 and the signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNALS - code


def _mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _call(f"mount {target}", done)


def _prctl(option: int, value: int) -> None:
    _call(f"prctl {option}", _libc.prctl(option, value, 0, 0, 0))


def _call(what: str, done: int) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
