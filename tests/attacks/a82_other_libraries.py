"""Looks for libraries that would do the work: PyTorch, SciPy and others, with the import hook taken out.

Id: A82
Exercise: double
Verdict: accepted
"""

import importlib
import sys


class LEAKED(Exception):
    pass


sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Importer"]
for name in ("torch", "scipy", "sklearn", "jax", "onnxruntime", "tensorflow", "numba", "pandas", "cupy", "sympy"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise LEAKED(name)


def double(x, factor=2.0):
    return factor * x
