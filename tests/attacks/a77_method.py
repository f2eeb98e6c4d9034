"""Calls the tensor's own method.

Id: A77
Exercise: softmax-layer
Verdict: policy_violation
"""


def softmax(x):
    return x.softmax(-1)
