"""Clean a GPU for the next judging, and see whether it computes: a program of its own, since all it takes goes with it.

    python3 -I -B worker/scrub.py

It uses the one GPU that CUDA_VISIBLE_DEVICES names, by the driver's own library alone: takes all memory that is free,
overwrites it, reads it back here and there, lets no line stay in the cache, and runs a kernel whose results it checks.
Prints what it has done as JSON. Exit code 1: the GPU is not in order, and the last line says why.
"""

import ctypes
import json
import sys
from typing import Any

_NAME = "libcuda.so.1"
_PARTS = (1 << 30, 64 << 20, 2 << 20)
"""Bytes asked for at a time: what is free is seldom in one piece."""
_PATTERN = 0xA5
_PROBE_BLOCKS, _PROBE_THREADS = 1024, 256
_FACTOR = 2654435761
_PTX = b"""
.version 6.0
.target sm_70
.address_size 64
.visible .entry probe(.param .u64 out)
{
    .reg .b32 %r<6>;
    .reg .b64 %rd<5>;
    ld.param.u64 %rd1, [out];
    cvta.to.global.u64 %rd2, %rd1;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    mul.lo.u32 %r5, %r4, 0x9E3779B1;
    mul.wide.u32 %rd3, %r4, 4;
    add.u64 %rd4, %rd2, %rd3;
    st.global.u32 [%rd4], %r5;
    ret;
}
"""
"""Element i of `out` becomes i times _FACTOR, modulo 2**32."""


class Broken(Exception):  # noqa: N818 - what the GPU is
    """A GPU that does not do as it must."""


class Driver:
    """The driver's library; each call that fails raises Broken."""

    def __init__(self, library: Any) -> None:
        """Use the library: a `ctypes.CDLL`, or what has the same functions."""
        self._library = library

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call one of its functions."""
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise Broken(f"{name}: {(text.value or b'?').decode()} ({code})")


def clean(driver: Driver) -> dict[str, int]:
    """Overwrite what is free, and try the GPU; returns MiB of memory: all of it, and overwritten. Raises Broken."""
    driver("cuInit", 0)
    device, context = ctypes.c_int(), ctypes.c_void_p()
    driver("cuDeviceGet", ctypes.byref(device), 0)
    driver("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    driver("cuCtxSetCurrent", context)
    driver("cuCtxResetPersistingL2Cache")
    _probe(driver)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    parts = _take_all(driver)
    for value in (_PATTERN, 0):
        for address, size in parts:
            driver("cuMemsetD8_v2", ctypes.c_uint64(address), ctypes.c_ubyte(value), ctypes.c_size_t(size))
        driver("cuCtxSynchronize")
        for address, size in parts:
            _compare(driver, address, size, value)
    for address, _ in parts:
        driver("cuMemFree_v2", ctypes.c_uint64(address))
    driver("cuDevicePrimaryCtxReset_v2", device)
    return {"total_mib": total.value >> 20, "overwritten_mib": sum(size for _, size in parts) >> 20}


def _take_all(driver: Driver) -> list[tuple[int, int]]:
    parts = []
    for size in _PARTS:
        while True:
            address = ctypes.c_uint64()
            try:
                driver("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
            except Broken as broken:
                if "OUT_OF_MEMORY" not in str(broken):
                    raise
                break
            parts.append((address.value, size))
    return parts


def _compare(driver: Driver, address: int, size: int, value: int) -> None:
    """See that the first and the last bytes of a part are what they were set to."""
    count = 4096
    for place in (address, address + size - count):
        seen = ctypes.create_string_buffer(count)
        driver("cuMemcpyDtoH_v2", seen, ctypes.c_uint64(place), ctypes.c_size_t(count))
        if seen.raw != bytes([value]) * count:
            raise Broken("memory does not keep what was written to it")


def _probe(driver: Driver) -> None:
    """Run a small kernel and check what it gives."""
    count = _PROBE_BLOCKS * _PROBE_THREADS
    module, function, out = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint64()
    driver("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_PTX))
    driver("cuModuleGetFunction", ctypes.byref(function), module, b"probe")
    driver("cuMemAlloc_v2", ctypes.byref(out), ctypes.c_size_t(4 * count))
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(out), ctypes.c_void_p))
    shape = [ctypes.c_uint(each) for each in (_PROBE_BLOCKS, 1, 1, _PROBE_THREADS, 1, 1, 0)]
    driver("cuLaunchKernel", function, *shape, None, parameters, None)
    driver("cuCtxSynchronize")
    seen = (ctypes.c_uint32 * count)()
    driver("cuMemcpyDtoH_v2", seen, out, ctypes.c_size_t(4 * count))
    if any(value != number * _FACTOR % (1 << 32) for number, value in enumerate(seen)):
        raise Broken("a kernel gives wrong results")
    driver("cuMemFree_v2", out)


def main() -> int:
    """Clean the GPU that the environment names."""
    try:
        print(json.dumps(clean(Driver(ctypes.CDLL(_NAME)))))  # noqa: T201 - a program's answer
    except (Broken, OSError) as error:
        print(error)  # noqa: T201 - likewise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
