"""Names its function in full-width letters, which Python reads as the plain ones.

Id: B43
Exercise: double
Verdict: accepted
"""


def ｄｏｕｂｌｅ(x, factor=2.0):
    return factor * x
