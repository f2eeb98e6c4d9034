"""Say in words where in an array something is wrong, and in which way, without a value of it."""

from typing import Any

import numpy as np

_AXES = 2
_FEW = 100


def describe(
    wrong: np.ndarray,
    got: np.ndarray | None = None,
    want: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
) -> str:
    """Return for example "12 of 60 elements (20 %), all in the last row; it is 2 times what it should be".

    wrong: bool array. got, want, allowed: float64 arrays like it; where given, a relation between them is sought.
    """
    count, size = int(np.sum(wrong)), int(wrong.size)
    if count == size:
        text = "every element" if size > 1 else "its only element"
    else:
        text = f"{count} of {size} elements ({_percent(count / size)}){_place(wrong)}"
    if got is None or want is None or allowed is None or not count:
        return text
    with np.errstate(all="ignore"):
        relation = _relation(got, want, allowed)
    return f"{text}; {relation}" if relation else text


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{min(round(100 * share), 99)} %"  # noqa: PLR2004


def _place(wrong: np.ndarray) -> str:
    """Name the one index, row, border or triangle that holds every wrong element."""
    found = np.argwhere(wrong)
    if len(found) == 1:
        return f", at index {found[0].tolist()}"
    if len(found) == 0 or wrong.ndim < _AXES:
        return ""
    for axis in range(wrong.ndim):
        hit = np.unique(found[:, axis])
        if len(hit) == 1 and wrong.shape[axis] > 1:
            return f", all {_slice(int(hit[0]), axis, wrong.shape)}"
    rows, columns = wrong.shape[-2:]
    inside = np.zeros((rows, columns), bool)
    inside[1:-1, 1:-1] = True
    if inside.any() and not np.any(wrong & inside):
        return f", all at the border{_of_matrices(wrong.ndim)}"
    above = np.triu(np.ones((rows, columns), bool), 1)
    below = np.tril(np.ones((rows, columns), bool), -1)
    for name, region in (("above the", above), ("below the", below), ("on the", ~above & ~below)):
        if not np.any(wrong & ~region):
            return f", all {name} diagonal{_of_matrices(wrong.ndim)}"
    return ""


def _slice(index: int, axis: int, shape: tuple[int, ...]) -> str:
    """Say "in the first row", or for other ranks "at index 0 of axis 1"."""
    if len(shape) != _AXES:
        return f"at index {index} of axis {axis}"
    which = "first" if index == 0 else "last" if index == shape[axis] - 1 else ""
    kind = ("row", "column")[axis]
    return f"in the {which} {kind}" if which else f"in {kind} {index}"


def _of_matrices(rank: int) -> str:
    return "" if rank == _AXES else " of the last two axes"


def _relation(got: np.ndarray, want: np.ndarray, allowed: np.ndarray) -> str:
    """Name a simple relation that holds for the whole array, within the tolerance."""
    finite = np.isfinite(want) & np.isfinite(got)
    if not np.all(finite) or want.size < _AXES:
        return ""

    def agrees(other: np.ndarray, room: np.ndarray | float = 0.0) -> bool:
        return bool(np.all(np.abs(got - other) <= 4 * allowed + room))

    if not np.any(got):
        return "the answer is zero everywhere"
    if np.all(got == got.flat[0]):
        return "the answer has the same value everywhere"  # its ratio to what was wanted would give that away
    if agrees(-want):
        return "the sign is turned around"
    large = np.abs(want) > _FEW * allowed
    if np.any(large):
        factor = float(np.median(got[large] / want[large]))
        if abs(factor) > 1e-6 and agrees(factor * want, 4 * abs(factor) * allowed):  # noqa: PLR2004
            return f"it is {factor:.4g} times what it should be" if abs(factor - 1) > 1e-3 else ""  # noqa: PLR2004
    offset = float(np.median(got - want))
    if agrees(want + offset):
        return "it is off by the same amount everywhere"
    return _rearranged(want, agrees)


def _rearranged(want: np.ndarray, agrees: Any) -> str:
    """Name the rearrangement of `want` that agrees."""
    if np.all(want == want.flat[0]):
        return ""
    if want.ndim >= _AXES and want.shape[-1] == want.shape[-2] and agrees(np.swapaxes(want, -1, -2)):
        return f"it is the transpose of what it should be{'' if want.ndim == _AXES else ', in the last two axes'}"
    for axis in range(want.ndim):
        along = f" along axis {axis}" if want.ndim > 1 else ""
        if want.shape[axis] > 1 and agrees(np.flip(want, axis)):
            return f"it runs backwards{along}"
        if want.shape[axis] > _AXES:
            for by in (1, -1):
                if agrees(np.roll(want, by, axis)):
                    return f"it is shifted by one{along}"
    return ""
