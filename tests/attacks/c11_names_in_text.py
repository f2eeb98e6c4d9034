"""Speaks of eval, os.system, pytest, hidden_tests and __subclasses__ without using any.

Id: C11
Exercise: double
Verdict: accepted
"""


NOTE = 'eval exec compile os.system subprocess pytest hidden_tests.py ctypes __subclasses__ /proc/self/mem'


def evaluate(x, factor):
    """Not eval(): os.system('rm -rf /') would be another exercise."""
    return factor * x


def double(x, factor=2.0):
    return evaluate(x, factor)
