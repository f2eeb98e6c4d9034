"""The factor is left out.

Caught by test_factor.
"""


def double(x, factor=2.0):
    return 2.0 * x
