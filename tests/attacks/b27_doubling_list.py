"""Answers with a list of 2**60 elements that takes 60 lines of memory.

Id: B27
Exercise: double
Verdict: output_limit_exceeded or wrong_answer (too deep or too many: the harness's walk decides)
"""


def double(x, factor=2.0):
    answer = 1.0
    for _ in range(14):
        answer = [answer] * 20
    return answer
