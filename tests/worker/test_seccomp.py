"""The seccomp profile: right numbers, one meaning in both forms, and what the kernel makes of it."""

import ctypes
import errno
import itertools
import json
import platform
import struct
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from grader.errors import OurFault
from worker import seccomp

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
RULES = tomllib.loads(Path(seccomp.__file__).with_suffix(".toml").read_text())
REFUSED = [name for group in RULES["refused"].values() for name in group]
ALLOW, ENOSYS, KILL = 0x7FFF0000, 0x00050000 | errno.ENOSYS, 0x80000000
HERE = platform.machine()

# Of the families that may never reach the kernel, every member: written here a second time, on purpose.
FORBIDDEN = [
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "splice",
    "tee", "vmsplice", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key",
    "keyctl", "bpf", "perf_event_open", "userfaultfd", "mount", "umount2", "pivot_root", "chroot", "fsopen",
    "fsconfig", "fsmount", "fspick", "open_tree", "move_mount", "mount_setattr", "unshare", "setns", "clone3",
    "shmget", "shmat", "shmctl", "semget", "semop", "semctl", "msgget", "msgsnd", "msgrcv", "mq_open",
    "mq_timedsend", "mq_timedreceive", "flock", "memfd_create", "memfd_secret", "inotify_init1",
    "inotify_add_watch", "fanotify_init", "fanotify_mark", "name_to_handle_at", "open_by_handle_at",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "seccomp", "init_module", "finit_module",
    "delete_module", "kexec_load", "reboot", "swapon", "swapoff", "quotactl", "acct", "syslog", "modify_ldt",
    "setuid", "capset",
]  # fmt: skip


def resolved(machine, names):
    """Return libseccomp's own number of each name, negative where the machine has no such call."""
    command = ["xargs", "-n1", "scmp_sys_resolver", "-a", machine]
    run = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, map(int, run.stdout.split()), strict=True))


@pytest.fixture(scope="module", params=MACHINES)
def machine(request):
    """Name each machine that the profile has numbers for."""
    return request.param


@pytest.fixture(scope="module")
def numbers(machine):
    """Map every name in the profile to its number on `machine`, by libseccomp."""
    return resolved(machine, [*RULES["allowed"], *RULES["conditional"], *REFUSED])


def test_numbers_are_libseccomps(machine, numbers):
    """Every number that stands in the profile is the one libseccomp has for that machine."""
    column = list(MACHINES).index(machine)
    written = {name: pair[column] for name, pair in RULES["allowed"].items()}
    written |= {name: rule["number"][column] for name, rule in RULES["conditional"].items()}
    assert written == {name: max(numbers[name], -1) for name in written}


def test_every_known_call_is_decided(machine, numbers):
    """No call up to number 456, the last that libseccomp 2.5.4 knows, is refused by mere omission."""
    names = subprocess.run(
        ["xargs", "-n1", "scmp_sys_resolver", "-a", machine],
        input=" ".join(map(str, range(457))), capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(names) - {"UNKNOWN"} <= set(numbers)
    assert len(set(names)) > 300


def test_no_rule_allows_what_is_refused(machine, numbers):
    """Neither a refused call nor one of the forbidden families shares a name or a number with an allowed one."""
    assert set(FORBIDDEN) <= set(REFUSED)
    allowed = {*RULES["allowed"], *RULES["conditional"]}
    assert not allowed & set(REFUSED)
    assert not {numbers[name] for name in allowed} & {numbers[name] for name in REFUSED if numbers[name] >= 0}


def interpreted(program, number, arch, arguments):
    """Run a classic BPF program over struct seccomp_data: what linux/filter.h says, as far as seccomp allows it."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *arguments)
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, k = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                assert k % 4 == 0
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x06:
                return k
            case _:
                raise AssertionError(f"instruction {at - 1} has code {code:#x}")


def evaluated(profile, name, arguments):
    """Decide by Docker's profile, as libseccomp reads it: a rule holds if all its conditions do."""
    for rule in profile["syscalls"]:
        if name in rule["names"] and all(holds(condition, arguments) for condition in rule.get("args", [])):
            return ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else 0x00050000 | rule["errnoRet"]
    return 0x00050000 | profile["defaultErrnoRet"]


def holds(condition, arguments):
    """Compare as libseccomp does: all 64 bits, or those of the mask."""
    argument = arguments[condition["index"]]
    if condition["op"] == "SCMP_CMP_MASKED_EQ":
        return argument & condition["value"] == condition["valueTwo"]
    assert condition["op"] == "SCMP_CMP_EQ"
    return argument == condition["value"]


def test_both_forms_mean_the_same(machine, numbers):
    """The program decides like Docker's profile for each number, each allowed value, its neighbours and high bits."""
    profile, program = json.loads(seccomp.docker_profile()), seccomp.bpf(machine)
    names = {number: name for name, number in numbers.items() if number >= 0}
    decided = {ALLOW: 0, ENOSYS: 0}
    for number in range(601):
        name = names.get(number, "")
        rule = RULES["conditional"].get(name, {"argument": 0, "values": [0]})
        mask = rule.get("mask", 0)
        bits = [1 << bit for bit in range(64)] if name in RULES["conditional"] else []
        near = {value + step for value in rule["values"] for step in (-1, 0, 1)} | {mask, *bits}
        for value, other in itertools.product({each ^ bit for each in near for bit in (0, *bits)}, (0, 1)):
            arguments = [other] * 6
            arguments[rule["argument"]] = value & (1 << 64) - 1
            want = evaluated(profile, name, arguments)
            assert interpreted(program, number, MACHINES[machine], arguments) == want, (number, name, arguments)
            decided[want] += 1
    assert min(decided.values()) > 100


NVIDIA = [0xC030462A, 0xC00446C9, 0x46D6, 0x30000001, 0x30000002, 0x19, 0x4B]
"""Requests that CUDA makes: NV_ESC_RM_CONTROL and its kin, UVM_INITIALIZE, UVM_DEINITIALIZE, two of UVM's numbers."""
NEVER = [0x5412, 0x541C, 0x4004667F, 0x6601, 0x1000, 0x100, 0x30000004, 0xC030462A | 1 << 32, 0x19 | 1 << 63]
"""TIOCSTI, TIOCLINUX, requests of file systems, numbers beside UVM's, and high bits."""


def test_only_a_gpu_s_requests_come_in_with_cuda(machine, numbers):
    """Both forms let NVIDIA's requests through where there is a GPU, and never a terminal's; all else stays."""
    plain, wide = (json.loads(seccomp.docker_profile(cuda=cuda)) for cuda in (False, True))
    programs = seccomp.bpf(machine), seccomp.bpf(machine, cuda=True)
    allowed = RULES["conditional"]["ioctl"]["values"]
    for request, cuda in itertools.chain(
        ((each, ALLOW) for each in [*NVIDIA, *allowed]), ((each, ENOSYS) for each in NEVER)
    ):
        arguments = [3, request, 0, 0, 0, 0]
        without = ALLOW if request in allowed else ENOSYS
        assert (evaluated(plain, "ioctl", arguments), evaluated(wide, "ioctl", arguments)) == (without, cuda), request
        decided = [interpreted(each, numbers["ioctl"], MACHINES[machine], arguments) for each in programs]
        assert decided == [without, cuda], request
    for number in range(601):
        if number != numbers["ioctl"]:
            assert len({interpreted(each, number, MACHINES[machine], [0] * 6) for each in programs}) == 1


def test_a_foreign_abi_is_killed(machine):
    """Neither a 32-bit call nor one of another machine nor an x32 number is looked up in our tables."""
    program = seccomp.bpf(machine)
    for arch in (0x40000003, 0x40000028, *MACHINES.values()):  # i386 and ARM first
        if arch != MACHINES[machine]:
            assert interpreted(program, 0, arch, [0] * 6) == KILL
    for number in (0x40000000, 0x40000001, 0x400001FF, 0x7FFFFFFF):
        assert interpreted(program, number, MACHINES[machine], [0] * 6) == (KILL if machine == "x86_64" else ENOSYS)


def test_docker_names_only_what_it_can_compare():
    """Docker takes a rule for each value, within 64 bits, and no `architectures` beside its `archMap`."""
    profile = json.loads(seccomp.docker_profile())
    assert {each["architecture"] for each in profile["archMap"]} == {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}
    assert "architectures" not in profile
    assert all(len(rule.get("args", [])) <= 1 for rule in profile["syscalls"])
    assert all(0 <= value < 1 << 32 for rule in RULES["conditional"].values() for value in rule["values"])


def test_an_unknown_machine_is_an_error_of_ours():
    """A machine without numbers gets no filter, and so no sandbox."""
    with pytest.raises(OurFault, match="riscv64") as raised:
        seccomp.bpf("riscv64")
    assert raised.value.code == "E4113"


def test_it_is_made_in_no_time():
    """Both forms together, the profile read anew, take under 10 ms of a start."""
    spent = []
    for _ in range(5):
        seccomp._rules.cache_clear()
        begin = time.thread_time()
        seccomp.bpf()
        seccomp.docker_profile()
        spent.append(time.thread_time() - begin)
    assert min(spent) < 0.010


# What follows asks the kernel itself, in a child that has put itself under the filter.

CONFINED = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
with open(sys.argv.pop(1), "rb") as file:
    text = file.read()
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, ctypes.byref(Program(len(text) // 8, text))):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    raise OSError(ctypes.get_errno(), "the kernel refused the filter")
"""


@pytest.fixture(scope="session")
def confined(tmp_path_factory):
    """Return a function that runs Python source under the filter."""
    path = tmp_path_factory.mktemp("seccomp") / "filter"
    path.write_bytes(seccomp.bpf())

    def run(source):
        program = [sys.executable, "-c", CONFINED + source, str(path)]
        return subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)

    return run


def test_the_kernel_refuses_every_forbidden_call(confined):
    """All refused calls of this machine answer ENOSYS, as if the kernel did not know them."""
    numbers = {name: number for name, number in resolved(HERE, REFUSED).items() if number >= 0}
    run = confined(f"""
for name, number in {numbers!r}.items():
    ctypes.set_errno(0)
    assert libc.syscall(number, 0, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == {errno.ENOSYS}, name
print("all refused")
""")
    assert run.stdout == "all refused\n", run.stderr


PROBES = {  # (name, arguments): what else would have an effect or reach a rarely used part of the kernel
    "internet socket": ("socket", 2, 1, 0),
    "AF_NETLINK": ("socket", 16, 3, 0),
    "AF_PACKET": ("socket", 17, 3, 0),
    "AF_ALG": ("socket", 38, 5, 0),
    "AF_VSOCK": ("socket", 40, 1, 0),
    "pair of internet sockets": ("socketpair", 2, 1, 0, 0),
    "AF_UNIX with high bits": ("socket", 1 << 32 | 1, 1, 0),
    "clone into a user namespace": ("clone", 0x10000000 | 17, 0, 0, 0, 0),
    "clone into a network namespace": ("clone", 0x40000000 | 17, 0, 0, 0, 0),
    "clone for one's parent": ("clone", 0x8000 | 17, 0, 0, 0, 0),
    "TIOCSTI": ("ioctl", 0, 0x5412, 0),
    "TIOCLINUX": ("ioctl", 0, 0x541C, 0),
    "lock": ("fcntl", 0, 6, 0),
    "lock of the open file": ("fcntl", 0, 37, 0),
    "lease": ("fcntl", 0, 1024, 0),
    "notice of a directory": ("fcntl", 0, 1026, 0),
    "capability kept": ("prctl", 8, 1),
    "tracer": ("prctl", 0x59616D61, 1),
    "program on a socket": ("setsockopt", 0, 1, 26, 0, 0),
    "merged pages": ("madvise", 0, 4096, 12),
    "another process's limits": ("prlimit64", 1, 7, 0, 0),
    "no address randomisation": ("personality", 0x40000),
}  # fmt: skip


@pytest.mark.parametrize("probe", PROBES)
def test_the_kernel_refuses_other_values(confined, probe):
    """A conditional call with a value that is not allowed does not happen."""
    name, *arguments = PROBES[probe]
    number = resolved(HERE, [name])[name]
    run = confined(f"""
answer = libc.syscall(*map(ctypes.c_long, {[number, *arguments]!r}))
print(answer, ctypes.get_errno())
""")
    assert run.stdout == f"-1 {errno.ENOSYS}\n", run.stderr


@pytest.mark.skipif(HERE != "x86_64", reason="these two ABIs are x86_64's")
@pytest.mark.parametrize("code", ["b814000000cd80c3", "b8270000400f05c3"], ids=["int 0x80", "x32"])
def test_the_kernel_kills_a_foreign_abi(confined, code):
    """A getpid by the 32-bit gate or as an x32 call: the process is killed by SIGSYS."""
    run = confined(f"""
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("{code}"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
""")
    assert run.returncode == -31, run.stderr


WORK = {
    "NumPy": """
import numpy as np
a = np.random.default_rng(0).normal(size=(200, 200))
np.linalg.svd(a @ a)
""",
    "PyTorch": """
import torch
x = torch.randn(64, 64, requires_grad=True)
torch.nn.functional.conv2d((x @ x).relu()[None, None], torch.ones(3, 1, 3, 3)).sum().backward()
assert x.grad.isfinite().all()
""",
    "threads": """
import threading
threads = [threading.Thread(target=sum, args=(range(1000),)) for _ in range(8)]
[each.start() for each in threads]
[each.join() for each in threads]
""",
    "subprocess": """
import subprocess
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True).stdout == b"1\\n"
assert subprocess.run("ls / | head -1; exit 3", shell=True, stdout=subprocess.DEVNULL).returncode == 3
""",
    "fork and exec": """
if not (child := os.fork()):
    os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(4)"])
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
""",
    "multiprocessing": """
import multiprocessing
for method in ("fork", "spawn"):
    context = multiprocessing.get_context(method)
    process = context.Process(target=os.getpid)
    process.start()
    process.join()
    assert process.exitcode == 0, method
context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
""",
    "shared memory": """
import torch, torch.multiprocessing as mp
queue = mp.get_context("fork").SimpleQueue()
queue.put(torch.ones(1000))
assert queue.get().sum() == 1000
for batch in torch.utils.data.DataLoader(range(4), num_workers=2, batch_size=2): assert len(batch) == 2
""",
    "files": """
import pathlib, shutil, tempfile
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "a")
    path.write_text("x" * 100_000)
    shutil.copy2(path, path.with_name("b"))
    shutil.copytree(folder, folder + "/c", symlinks=True, ignore=lambda *_: {"c"})
    path.rename(path.with_name("d")).chmod(0o600)
    os.truncate(path.with_name("d"), 10)
""",
    "signals and waiting": """
import asyncio, signal, time
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.01)
signal.pause()
asyncio.run(asyncio.sleep(0.01))
""",
}


@pytest.mark.parametrize("kind", WORK)
def test_ordinary_work_goes_on(confined, kind):
    """What an honest submission may do runs under the filter as without it."""
    run = confined("import warnings\n" + WORK[kind] + "\nprint('done')")
    assert run.stdout == "done\n", run.stderr


def test_the_probes_mean_something():
    """Without the filter the same kernel does not answer ENOSYS to what the tests above are refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = ["io_uring_enter", "keyctl", "bpf", "splice", "unshare", "open_by_handle_at", "shmctl", "fcntl"]
    for number in resolved(HERE, names).values():
        ctypes.set_errno(0)
        assert libc.syscall(number, -1, -1, -1, -1, -1, -1) == -1
        assert ctypes.get_errno() not in {0, errno.ENOSYS}
