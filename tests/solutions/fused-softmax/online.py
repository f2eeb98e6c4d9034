"""A block of columns at a time, with a running maximum and a running sum."""

import torch


def fused_softmax(x, bias, scale=1.0, block=512):
    rows, columns = x.shape
    top = torch.full((rows, 1), -torch.inf, device=x.device)
    total = torch.zeros((rows, 1), device=x.device)
    for begin in range(0, columns, block):
        z = scale * x[:, begin : begin + block].float() + bias[begin : begin + block].float()
        new = torch.maximum(top, z.amax(dim=1, keepdim=True))
        total = total * torch.exp(top - new) + torch.exp(z - new).sum(dim=1, keepdim=True)
        top = new
    return (torch.exp(scale * x.float() + bias.float() - top) / total).to(x.dtype)
