"""Answers with an object whose type is named after its inputs.

Id: B25
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    digits = "_".join(str(int(value * 10**6)) for value in x)
    return type("Input_" + digits, (), {"__module__": "submission"})()
