"""One program a row, in Triton: read once, written once; long rows in blocks, with a running maximum and sum."""

import torch
import triton
import triton.language as tl


@triton.jit
def kernel(y, x, bias, scale, columns, row_stride, column_stride, bias_stride, y_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, BLOCK)
    top = -float("inf")
    total = 0.0
    for begin in range(0, columns, BLOCK):
        at = begin + places
        inside = at < columns
        z = tl.load(x + row * row_stride + at * column_stride, mask=inside, other=0.0).to(tl.float32) * scale
        z += tl.load(bias + at * bias_stride, mask=inside, other=0.0).to(tl.float32)
        z = tl.where(inside, z, -float("inf"))
        new = tl.maximum(top, tl.max(z, axis=0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(z - new), axis=0)
        top = new
    for begin in range(0, columns, BLOCK):
        at = begin + places
        inside = at < columns
        z = tl.load(x + row * row_stride + at * column_stride, mask=inside, other=0.0).to(tl.float32) * scale
        z += tl.load(bias + at * bias_stride, mask=inside, other=0.0).to(tl.float32)
        value = tl.exp(z - top) / total
        tl.store(y + row * y_stride + at, value.to(y.dtype.element_ty), mask=inside)


def fused_softmax(x, bias, scale=1.0):
    rows, columns = x.shape
    y = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    block = min(triton.next_power_of_2(columns), 4096)
    kernel[(rows,)](y, x, bias, float(scale), columns, *x.stride(), bias.stride(0), y.stride(0), BLOCK=block)
    return y
