"""Computes its attribute anew each time it is looked at, and never right.

Id: B61
Exercise: total
Verdict: wrong_answer
"""


class Total:
    def __init__(self, start):
        self.start = start

    @property
    def total(self):
        return self.start

    def add(self, x):
        pass
