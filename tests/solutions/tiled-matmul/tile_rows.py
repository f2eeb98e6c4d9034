"""A product for each tile row, of the tiles that count."""

import torch


def tiled_matmul(a, b, keep):
    slabs = b.unflatten(0, (-1, 32))
    rows = []
    for row, counts in zip(a.split(32), keep):
        places = counts.nonzero().flatten()
        tiles = row.unflatten(1, (-1, 32))[:, places].flatten(1)
        rows.append(tiles @ slabs[places].flatten(0, 1))
    return torch.cat(rows)
