"""Prints a lot, within the limit.

Id: C07
Exercise: double
Verdict: accepted
"""

import sys


def double(x, factor=2.0):
    for row in range(2000):
        print('step', row, x, '\u2713', '=' * 40)
    sys.stderr.write('\x1b[31mwarning\x1b[0m\n' * 100)
    return factor * x
