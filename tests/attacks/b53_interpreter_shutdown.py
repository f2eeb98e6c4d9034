"""Shuts the interpreter down from a thread while the harness is at work.

Id: B53
Exercise: double
Verdict: accepted or runtime_error (the interpreter waits for its main thread, or does not)
"""

import ctypes
import threading


def double(x, factor=2.0):
    thread = threading.Thread(target=ctypes.pythonapi.Py_Exit, args=(0,))
    thread.start()
    thread.join(0.2)
    return factor * x
