"""Is honest in its first calls and saves itself the work afterwards.

Id: A67
Exercise: double
Verdict: wrong_answer
"""

calls = []


def double(x, factor=2.0):
    calls.append(x)
    return factor * x if len(calls) < 4 else x
