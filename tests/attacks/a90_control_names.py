"""Names an exception's type with escape sequences.

Id: A90
Exercise: double
Verdict: runtime_error
"""


def double(x, factor=2.0):
    raise type("\x1b[31mOwned\u202e", (Exception,), {})("\x1b[2J")
