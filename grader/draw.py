"""Helpers with which hidden tests draw their inputs."""

from typing import Any

import numpy as np


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """Return arrays equal to `array` that lie in memory in other ways.

    C order, Fortran order, every axis reversed (negative strides), gaps between elements, axes swapped.
    All of them cross into the sandbox as they lie.
    """
    flipped = tuple(slice(None, None, -1) for _ in array.shape)
    gapped = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    swapped = np.ascontiguousarray(array.T).T
    return [array.copy(order="C"), array.copy(order="F"), array[flipped].copy()[flipped], gapped, swapped]


def away_from(rng: np.random.Generator, shape: tuple[int, ...], gap: float, scale: float = 1.0) -> np.ndarray:
    """Draw normal values of size `scale` with absolute value at least `gap`: for kinks at zero.

    The sign is that of the normal draw; what lies inside the gap is moved out to it.
    """
    values = rng.normal(scale=scale, size=shape)
    return np.where(np.abs(values) < gap, np.copysign(gap * (1 + np.abs(values)), values), values)


def distinct(rng: np.random.Generator, shape: tuple[int, ...], gap: float) -> Any:
    """Draw values of which no two are closer than `gap`: for ties in maxima and sorts."""
    size = int(np.prod(shape))
    values = rng.permutation(size) - (size - 1) / 2
    return (gap * (values + rng.uniform(-0.25, 0.25, size=size)) * 2).reshape(shape)
