"""Makes no object at all when one is constructed.

Id: B61
Exercise: total
Verdict: protocol_violation
"""


class Total:
    def __new__(cls, start):
        return 5

    def add(self, x):
        pass
