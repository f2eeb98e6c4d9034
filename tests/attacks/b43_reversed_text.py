"""Hides code from a reader by letters that turn the direction of text.

Id: B43
Exercise: double
Verdict: accepted
"""


def double(x, factor=2.0):
    note = "‮ } ⁦if is_admin⁩ ⁦ begin"
    return factor * x if note else x
