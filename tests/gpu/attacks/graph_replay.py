"""Captures a graph at the first call of a shape and replays it: the results are those of old inputs.

Verdict: wrong_answer
"""

import torch

def right(x, bias, scale):
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)


graphs = {}


def fused_softmax(x, bias, scale=1.0):
    key = (tuple(x.shape), x.dtype)
    if key not in graphs:
        right(x, bias, scale)
        torch.cuda.synchronize()
        held, graph = (x.clone(), bias.clone()), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = right(*held, scale)
        graphs[key] = graph, out, held
    graph, out, _ = graphs[key]
    graph.replay()
    return out
