"""A program for each tile of the result, in Triton: it skips what does not count and adds up in float32."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(c, a, b, keep, tiles, columns, am, ak, bk, bn, km, kk, cm, BLOCK: tl.constexpr):
    i = tl.program_id(0)
    rows = i * 32 + tl.arange(0, 32)
    across = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = across < columns
    total = tl.zeros((32, BLOCK), dtype=tl.float32)
    for k in range(tiles):
        if tl.load(keep + i * km + k * kk) != 0:
            inner = k * 32 + tl.arange(0, 32)
            left = tl.load(a + rows[:, None].to(tl.int64) * am + inner[None, :].to(tl.int64) * ak)
            right = tl.load(
                b + inner[:, None].to(tl.int64) * bk + across[None, :].to(tl.int64) * bn,
                mask=inside[None, :],
                other=0.0,
            )
            total += tl.dot(left, right, input_precision="ieee")
    at = c + rows[:, None].to(tl.int64) * cm + across[None, :]
    tl.store(at, total.to(c.dtype.element_ty), mask=inside[None, :])


def tiled_matmul(a, b, keep):
    rows, columns = a.shape[0], b.shape[1]
    c = torch.empty((rows, columns), dtype=a.dtype, device=a.device)
    flags = keep.to(torch.uint8)
    grid = (rows // 32, triton.cdiv(columns, 64))
    kernel[grid](
        c, a, b, flags, flags.shape[1], columns, *a.stride(), *b.stride(), *flags.stride(), c.stride(0), BLOCK=64
    )
    return c
