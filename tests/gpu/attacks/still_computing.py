"""Returns while a stream of its own still computes: the judge waits for all streams, so nothing is gained.

Verdict: accepted
"""

import torch

def right(x, bias, scale):
    z = scale * x + bias
    exps = torch.exp(z - z.amax(dim=-1, keepdim=True))
    return exps / exps.sum(dim=-1, keepdim=True)


stream = torch.cuda.Stream()


def fused_softmax(x, bias, scale=1.0):
    out = torch.empty_like(x)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        out.copy_(right(x, bias, scale))
    return out
