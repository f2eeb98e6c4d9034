"""Replaces the arrays that the harness holds for the judge by others.

Id: B61
Exercise: total
Verdict: wrong_answer or runtime_error (what the judge is answered when it fetches one)
"""

import sys


class Total:
    def __init__(self, start):
        self.total = start
        frame = sys._getframe()
        while frame.f_code.co_name != "main":
            frame = frame.f_back
        self.objects = frame.f_locals["harness"].objects

    def add(self, x):
        self.total = self.total + x
        for number, value in list(self.objects.items()):
            if value is not self:
                self.objects[number] = [object(), None, self]
