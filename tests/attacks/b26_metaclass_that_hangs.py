"""Answers with an object whose type takes its time when asked for its module.

Id: B26
Exercise: double
Verdict: time_limit_exceeded
"""

import time


class Meta(type):
    @property
    def __module__(cls):
        time.sleep(30)


class Answer(metaclass=Meta):
    pass


def double(x, factor=2.0):
    return Answer()
