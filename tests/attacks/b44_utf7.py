"""Declares an encoding in which a comment is code.

Id: B44
Exercise: double
Verdict: wrong_answer
Sent: "# coding: utf-7\n" + TEXT
"""


def double(x, factor=2.0):
    # +AAo-    return factor * x
    return x
