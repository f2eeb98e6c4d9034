"""Helpers with which hidden tests draw their inputs."""

from typing import Any

import numpy as np


def layouts(array: np.ndarray) -> list[np.ndarray]:
    """Return arrays equal to `array` that lie in memory in other ways.

    C order, Fortran order, every axis reversed (negative strides), gaps between elements, first axis innermost.
    All of them cross into the sandbox as they lie, and none shares memory with `array`.
    """
    flipped = tuple(slice(None, None, -1) for _ in array.shape)
    gapped = np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array.copy()
    turned = np.moveaxis(np.moveaxis(array, 0, -1).copy(order="C"), -1, 0) if array.ndim else array.copy()
    return [array.copy(order="C"), array.copy(order="F"), array[flipped].copy()[flipped], gapped, turned]


def away_from(rng: np.random.Generator, shape: tuple[int, ...], gap: float, scale: float = 1.0) -> np.ndarray:
    """Draw normal values of size `scale` with absolute value at least `gap`: for kinks at zero.

    The sign is that of the normal draw; what lies inside the gap is moved out by its width.
    """
    values = rng.normal(scale=scale, size=shape)
    return np.where(np.abs(values) < gap, values + np.copysign(gap, values), values)


def distinct(rng: np.random.Generator, shape: tuple[int, ...], gap: float) -> Any:
    """Draw values of which no two are closer than `gap`: for ties in maxima and sorts."""
    size = int(np.prod(shape))
    values = rng.permutation(size) - (size - 1) / 2
    return (gap * (values + rng.uniform(-0.25, 0.25, size=size)) * 2).reshape(shape)
