"""Answers with an object that runs a command wherever it is unpickled.

Id: A18
Exercise: double
Verdict: wrong_answer
"""

import os


class Answer:
    def __reduce__(self):
        return os.system, ("touch /tmp/grader-was-here",)


def double(x, factor=2.0):
    return Answer()
