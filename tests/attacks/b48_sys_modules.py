"""Empties the table of modules and the builtins under the harness's feet.

Id: B48
Exercise: double
Verdict: runtime_error or protocol_violation (how the harness dies of it)
"""

import builtins
import sys


def double(x, factor=2.0):
    sys.modules.clear()
    for name in list(vars(builtins)):
        if not name.startswith("__"):
            delattr(builtins, name)
    return None
