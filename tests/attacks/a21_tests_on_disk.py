"""Searches the whole file system for tests, references and the grader itself.

Id: A21
Exercise: softmax
Verdict: accepted
"""

import os
import time

import numpy as np


class LEAKED(Exception):
    pass


NAMES = {"hidden_tests.py", "public_tests.py", "exercise.toml", "grader", "lstm_cell.py", ".grader.toml", "attacks"}
until = time.monotonic() + 3.5
for folder, folders, files in os.walk("/"):
    if folder == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys")]
    for name in NAMES.intersection(folders + files):
        if "numpy" not in folder:
            raise LEAKED(os.path.join(folder, name))
    if ".git" in folders or "wrong" in folders:
        raise LEAKED(folder)
    if time.monotonic() > until:
        break


def softmax(x, axis=-1):
    weights = np.exp(x - x.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))
