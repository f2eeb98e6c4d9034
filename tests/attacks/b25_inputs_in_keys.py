"""Answers with a dict whose keys are its inputs, and with nested texts of them.

Id: B25
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    return {repr(float(value)): [str(value), {"deep": value}] for value in x}
