"""A batch of products, tile rows by tiles, summed over the tiles in float32."""

import torch


def tiled_matmul(a, b, keep):
    c = torch.zeros(keep.shape[0], 32, b.shape[1], dtype=torch.float32, device=a.device)
    for k in range(keep.shape[1]):
        rows = keep[:, k].nonzero().flatten()
        tile = a[:, 32 * k : 32 * k + 32].reshape(-1, 32, 32)[rows].float()
        c.index_add_(0, rows, tile @ b[32 * k : 32 * k + 32].float())
    return c.flatten(0, 1).to(a.dtype)
