"""Answers with a list that holds itself.

Id: B27
Exercise: double
Verdict: wrong_answer
"""


def double(x, factor=2.0):
    answer = [x]
    answer.append(answer)
    return answer
