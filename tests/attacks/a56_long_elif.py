"""Writes 8,000 branches of one `if`, each nested in the one before.

Id: A56
Exercise: double
Verdict: import_error or accepted (Python's own compiler decides how many branches there may be)
Sent: TEXT + "y = 0\nif y == 1:\n    pass\n" + "".join(f"elif y == {n}:\n    pass\n" for n in range(2, 8000))
"""


def double(x, factor=2.0):
    return factor * x
