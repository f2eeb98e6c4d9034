"""Knocks at every rarely used door of the kernel: io_uring, bpf, perf, keys, mounts, modules, tracing.

Id: A12
Exercise: double
Verdict: accepted
"""

import ctypes
import errno


class LEAKED(Exception):
    pass


CALLS = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "bpf": 321, "perf_event_open": 298,
    "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
    "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "quotactl": 179,
    "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170,
    "setdomainname": 171, "iopl": 172, "ioperm": 173, "syslog": 103, "vhangup": 153, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "fanotify_init": 300, "inotify_init1": 294, "memfd_secret": 447, "msgget": 68,
    "semget": 64, "shmget": 29, "mq_open": 240, "flock": 73, "move_pages": 279, "mbind": 237,
    "migrate_pages": 256, "lookup_dcookie": 212, "uselib": 134, "modify_ldt": 154, "vmsplice": 278,
}  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)
for name, number in CALLS.items():
    ctypes.set_errno(0)
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        raise LEAKED(f"{name}: {errno.errorcode.get(ctypes.get_errno(), 0)}")


def double(x, factor=2.0):
    return factor * x
