"""Answers with an object whose type says that it is NumPy's, with attributes that are no types.

Id: B26
Exercise: double
Verdict: wrong_answer or runtime_error (how far the harness comes with such an object decides)
"""


class Text(str):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class Meta(type):
    __module__ = Text("numpy")
    __qualname__ = "ndarray"


class Answer(metaclass=Meta):
    __module__ = Text("numpy")


def double(x, factor=2.0):
    return Answer()
