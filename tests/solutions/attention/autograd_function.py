"""A custom autograd function with the backward pass written by hand."""

import torch


class Attention(torch.autograd.Function):
    """Forward keeps the weights; backward is that of a matrix product, a softmax and a matrix product."""

    @staticmethod
    def forward(ctx, query, key, value, allowed):
        """Return weights @ value."""
        scale = 1.0 / query.shape[-1] ** 0.5
        scores = torch.matmul(query, key.transpose(-2, -1)).mul(scale)
        scores[~allowed.expand_as(scores)] = float("-inf")
        peak = scores.max(dim=-1, keepdim=True).values
        peak[peak == float("-inf")] = 0
        weights = (scores - peak).exp()
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-30)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        return torch.matmul(weights, value)

    @staticmethod
    def backward(ctx, grad):
        """Return the gradients of query, key and value."""
        query, key, value, weights = ctx.saved_tensors
        grad_weights = torch.matmul(grad, value.transpose(-2, -1))
        mean = (grad_weights * weights).sum(dim=-1, keepdim=True)
        grad_scores = weights * (grad_weights - mean) * ctx.scale
        grad_query = torch.matmul(grad_scores, key)
        grad_key = torch.matmul(grad_scores.transpose(-2, -1), query)
        return grad_query, grad_key, torch.matmul(weights.transpose(-2, -1), grad), None


def attention(query, key, value, mask=None, causal=False):
    """Put both restrictions into one tensor and hand over."""
    rows, columns = query.shape[-2], key.shape[-2]
    allowed = torch.ones(rows, columns, dtype=torch.bool, device=query.device)
    if causal:
        allowed = torch.tril(allowed)
    if mask is not None:
        allowed = torch.logical_and(allowed, mask)
    return Attention.apply(query, key, value, allowed)
