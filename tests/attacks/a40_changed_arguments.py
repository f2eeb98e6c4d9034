"""Changes its arguments so that whatever is computed from them later agrees with its answer.

Id: A40
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    x[:] = 0
    return x
