"""The sandboxes' seccomp filter, in the two forms the engines take, both made from `seccomp.toml`.

Docker takes its own JSON and leaves the rest to libseccomp; bubblewrap takes a program in classic BPF, compiled here.
"""

import functools
import json
import platform
import struct
import tomllib
from pathlib import Path
from typing import Any

from grader.errors import OurFault

_MACHINES = ("x86_64", "aarch64")  # the order of the numbers in seccomp.toml
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32 = 0x40000000  # set in the number of a call of x86_64's 32-bit ABI, which shares its AUDIT_ARCH
_ENOSYS = 38
_EVERY_BIT = (1 << 64) - 1

# Offsets in struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }, little-endian on both.
_NR, _ARCH, _ARGS = 0, 4, 16
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000 | _ENOSYS, 0x7FFF0000  # linux/seccomp.h
_LOAD, _AND, _JUMP, _JEQ, _JGE, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06  # linux/bpf_common.h

Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, how far to jump if true, if false, operand."""


@functools.cache
def docker_profile(*, slot: bool = False) -> str:
    """Return the JSON text for Docker's `security_opt=["seccomp=" + text]`, valid from Docker 20.10 on."""
    rules = _rules()
    more = set(rules["slot"]) if slot else set()
    syscalls: list[dict[str, Any]] = [{"names": [*rules["allowed"], *sorted(more)], "action": "SCMP_ACT_ALLOW"}]
    for name, rule in rules["conditional"].items():
        if name in more:
            continue
        for value in rule["values"]:  # a rule each: conditions within one rule must all hold
            argument: dict[str, Any] = {"index": rule["argument"], "op": "SCMP_CMP_EQ", "value": value}
            if "mask" in rule:
                argument |= {"op": "SCMP_CMP_MASKED_EQ", "value": rule["mask"], "valueTwo": value}
            syscalls.append({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]})
    refused = [name for group in rules["refused"].values() for name in group if name not in more]
    syscalls.append({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        # No subArchitectures: libseccomp kills what comes through another ABI than the machine's own.
        "archMap": [{"architecture": f"SCMP_ARCH_{each.upper()}", "subArchitectures": []} for each in _MACHINES],
        "syscalls": syscalls,
    }
    return json.dumps(profile)


@functools.cache
def bpf(machine: str = platform.machine(), *, slot: bool = False) -> bytes:
    """Return the filter for this machine as an array of struct sock_filter. Raises OurFault for an unknown machine.

    With `slot` it is the wider one of a slot's zygote, which puts the strict one over every fork.
    """
    if machine not in _MACHINES:
        raise OurFault(
            "E4113",
            f"there is no seccomp filter for a {machine or 'nameless'} machine",
            cause="worker/seccomp.toml has the numbers of system calls of " + " and ".join(_MACHINES) + " only",
            hint="run the sandboxes on one of these machines",
        )
    program = [(_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, _AUDIT_ARCH[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NR)]
    if machine == "x86_64":
        program += [(_JGE, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    program += _search(_ranges(_MACHINES.index(machine), slot=slot))
    return b"".join(struct.pack("=HBBI", *each) for each in program)


@functools.cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


def _ranges(column: int, *, slot: bool) -> list[tuple[int, list[Instruction]]]:
    """Return, in order, the numbers at which the decision changes, each with the code that decides from there on."""
    rules = _rules()
    decisions = {numbers[column]: [(_RETURN, 0, 0, _ALLOW)] for numbers in rules["allowed"].values()}
    decisions |= {rule["number"][column]: _condition(rule) for rule in rules["conditional"].values()}
    if slot:
        decisions |= {numbers[column]: [(_RETURN, 0, 0, _ALLOW)] for numbers in rules["slot"].values()}
    refuse: list[Instruction] = [(_RETURN, 0, 0, _REFUSE)]
    ranges = [(0, decisions.get(0, refuse))]
    for number in range(1, max(decisions) + 2):
        decision = decisions.get(number, refuse)
        if decision != ranges[-1][1]:
            ranges.append((number, decision))
    return ranges


def _search(ranges: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Return code that finds the range of the number loaded, by halves, and decides."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    # A conditional jump reaches 255 instructions only, an unconditional one as far as it must.
    return [(_JGE, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(below)), *below, *above]


def _condition(rule: dict[str, Any]) -> list[Instruction]:
    """Return code that allows the rule's values of its argument, in two words of 32 bits: the high one must be 0."""
    low = _ARGS + 8 * rule["argument"]
    mask, values = rule.get("mask", _EVERY_BIT), rule["values"]
    return [
        (_LOAD, 0, 0, low + 4),
        (_AND, 0, 0, mask >> 32),
        (_JEQ, 0, len(values) + 2, 0),
        (_LOAD, 0, 0, low),
        (_AND, 0, 0, mask & 0xFFFFFFFF),
        *((_JEQ, len(values) - index, 0, value) for index, value in enumerate(values)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
