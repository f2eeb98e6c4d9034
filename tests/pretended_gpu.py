"""The harness on a machine without a GPU, over a pretended one: the processor's memory, and a stream that lags behind.

It is `grader/harness.py` as it is, but for the one function that makes a context on a GPU. A submission of a test puts
work on the stream with `torch.cuda.later(function)`: it is done when somebody waits for it, as on a GPU.
"""

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

place = str(Path(__file__).resolve().parent.parent / "grader" / "harness.py")
harness: Any = importlib.machinery.SourceFileLoader("harness", place).load_module()
sys.modules["__main__"] = harness
stream: list[Callable[[], object]] = []


def synchronize(*_):
    """Do what was put off."""
    while stream:
        stream.pop(0)()


def warm_cuda():
    """Return the processor's memory as a GPU's."""
    torch: Any = importlib.import_module("torch")
    torch.cuda.synchronize = synchronize
    torch.cuda.later = stream.append
    torch.cuda.device_count = lambda: 1
    torch.cuda.memory_snapshot = list
    torch.version.cuda = "13.0"
    return harness.Accelerator("cpu", torch.cuda)


harness.warm_cuda = warm_cuda
harness.main()
