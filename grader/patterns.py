"""Say in words where in an array something is wrong, and in which way, without a value of it."""

from typing import Any

import numpy as np

_ORDINAL = {0: "first", -1: "last"}
_AXES = 2


def describe(
    wrong: np.ndarray,
    got: np.ndarray | None = None,
    want: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
) -> str:
    """Return for example "12 of 60 elements (20 %), all in the last row; they are 2 times what they should be".

    wrong: bool array. got, want, allowed: float64 arrays like it; where given, a relation between the two is looked for.
    """
    count, size = int(np.sum(wrong)), int(wrong.size)
    if count == size:
        text = "every element" if size > 1 else "its only element"
    else:
        text = f"{count} of {size} elements ({_percent(count / size)}){_place(wrong)}"
    if got is None or want is None or allowed is None:
        return text
    relation = _relation(got, want, allowed)
    return f"{text}; {relation}" if relation else text


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "under 1 %"  # noqa: PLR2004


def _place(wrong: np.ndarray) -> str:
    """Name the one index, border or triangle that holds every wrong element."""
    if wrong.ndim == 0 or np.sum(wrong) == 1:
        return ""
    for axis in range(wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        hit = np.flatnonzero(np.any(wrong, axis=others))
        length = wrong.shape[axis]
        if len(hit) == 1 and length > 1:
            index = int(hit[0])
            spoken = _ORDINAL.get(index if index == 0 else index - length, f"index {index}")
            return f", all at the {spoken} of axis {axis}".replace("the index", "index")
    if wrong.ndim < _AXES:
        return ""
    rows, columns = wrong.shape[-2:]
    inside = np.zeros((rows, columns), bool)
    inside[1:-1, 1:-1] = True
    if inside.any() and not np.any(wrong & inside):
        return ", all at the border of the last two axes"
    above = np.triu(np.ones((rows, columns), bool), 1)
    if not np.any(wrong & ~above):
        return ", all above the diagonal of the last two axes"
    if not np.any(wrong & (above | np.eye(rows, columns, dtype=bool))):
        return ", all below the diagonal of the last two axes"
    return ""


def _relation(got: np.ndarray, want: np.ndarray, allowed: np.ndarray) -> str:
    """Name a simple relation that holds for the whole array, within the tolerance."""
    finite = np.isfinite(want) & np.isfinite(got)
    if not np.all(finite) or want.size < _AXES:
        return ""

    def agrees(other: Any, factor: float = 1.0) -> bool:
        return bool(np.all(np.abs(got - other) <= 4 * max(abs(factor), 1.0) * allowed))

    if not np.any(got):
        return "the answer is zero everywhere"
    if agrees(-want):
        return "the sign is turned around"
    large = np.abs(want) > 100 * allowed
    if np.any(large):
        factor = float(np.median(got[large] / want[large]))
        if abs(factor) > 1e-6 and abs(factor - 1) > 1e-3 and agrees(factor * want, factor):  # noqa: PLR2004
            return f"it is {factor:.4g} times what it should be"
    offset = float(np.median(got - want))
    if agrees(want + offset):
        return "it is off by the same amount everywhere"
    if want.ndim == _AXES and want.shape[0] == want.shape[1] and agrees(want.T):
        return "it is the transpose of what it should be"
    for axis in range(want.ndim):
        if want.shape[axis] > 1 and agrees(np.flip(want, axis)):
            return f"it runs backwards along axis {axis}"
        if want.shape[axis] > _AXES:
            for by in (1, -1):
                if agrees(np.roll(want, by, axis)):
                    return f"it is shifted by one along axis {axis}"
    return ""
