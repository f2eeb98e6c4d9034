"""Calls the kernel by the 32-bit interrupt from machine code of its own, past a filter of 64-bit calls.

Id: A13
Exercise: double
Verdict: runtime_error
"""

import ctypes
import mmap


class LEAKED(Exception):
    pass


page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret


def double(x, factor=2.0):
    pid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if pid > 0:
        raise LEAKED(pid)
    return factor * x
