"""`+=` changes the array that the caller passed: add into a new one.

Caught by test_adds, test_leaves_the_start_alone.
"""


class Total:
    def __init__(self, start):
        self.total = start

    def add(self, x):
        self.total += x
