"""Carries its inputs out in the text, the type's name and the notes of an exception, and in prints.

Id: A25
Exercise: double
Verdict: runtime_error
"""


def double(x, factor=2.0):
    print(x, factor * x)
    digits = "_".join(f"{value:.6f}".replace(".", "_") for value in x.tolist())
    error = type("Input_" + digits, (ValueError,), {"__module__": "builtins"})(repr(x))
    error.add_note(digits)
    raise error
