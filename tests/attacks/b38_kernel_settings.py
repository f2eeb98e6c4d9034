"""Writes to the kernel's settings and reads its symbols, memory and messages.

Id: B38
Exercise: double
Verdict: accepted
"""

import contextlib
import os


class LEAKED(Exception):
    pass


for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
             "/proc/1/oom_score_adj", "/proc/self/oom_adj", "/sys/kernel/uevent_helper", "/proc/irq/0/smp_affinity",
             "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/pids/pids.max",
             "/sys/power/state", "/proc/acpi/wakeup", "/proc/scsi/scsi"):  # fmt: skip
    try:
        file = os.open(path, os.O_WRONLY)
    except OSError:
        continue
    if "oom" not in path:
        raise LEAKED(path)
    os.close(file)
for path in ("/proc/kcore", "/dev/kmsg", "/proc/kmsg", "/dev/mem", "/proc/keys", "/proc/timer_list", "/proc/sched_debug",
             "/sys/firmware/acpi/tables/DSDT", "/sys/kernel/debug/x", "/proc/kpageflags"):  # fmt: skip
    with contextlib.suppress(OSError):
        if open(path, "rb", buffering=0).read(16):
            raise LEAKED(path)
with contextlib.suppress(OSError):
    if int((open("/proc/kallsyms").readline().split() or ["0"])[0], 16):
        raise LEAKED("symbols")
with contextlib.suppress(OSError):
    os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")
    raise LEAKED("safe from the memory killer")


def double(x, factor=2.0):
    return factor * x
