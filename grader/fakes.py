"""Fake submissions made from a reference: what every exercise must reject, and garbage no test may choke on.

A fake is the reference's source with a tail that wraps each declared function and class. `FAKES` must be rejected,
`GARBAGE` too, and neither may ever end as an internal error.
"""

from grader.exercise import Exercise

FAKES = {
    "zeros": "each(out, lambda a: a * 0)",
    "constant": "each(out, lambda a: a * 0 + 0.5)",
    "copied input": "copied(out, args)",
    "NaN": "each(out, lambda a: a * 0 + float('nan'))",
}
GARBAGE = {
    "None": "None",
    "a string": "'accepted'",
    "an empty array": "each(out, lambda a: a.reshape(-1)[:0])",
    "a 0-d array": "each(out, lambda a: a.reshape(-1)[0])",
    "another rank": "each(out, lambda a: a[None])",
    "a longer array": "each(out, longer)",
    "integers": "each(out, integers)",
    "complex numbers": "each(out, lambda a: a * 1j)",
    "infinity": "each(out, lambda a: a * 0 + float('inf'))",
    "huge values": "each(out, lambda a: a * 0 + 1e37)",
    "an object array": "each(out, objects)",
    "nested lists": "each(out, lambda a: a.tolist())",
    "one value too many": "(out, out, out, out, out, out, out, out)",
    "a view of 10 GB": "each(out, enormous)",
    "a friendly object": "each(out, Friendly)",
}
HALF = "half precision"

_TAIL = """

# --- the tail that makes a fake of the reference above

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    torch = None


def is_tensor(value):
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value):
    return isinstance(value, (np.ndarray, np.generic)) or is_tensor(value)


def each(value, change):
    if isinstance(value, (list, tuple)):
        return [each(part, change) for part in value]
    if is_array(value):
        return change(value)
    return change(np.asarray(value))[()] if isinstance(value, float) else value


def arrays(value):
    if is_array(value):
        return [value]
    return [array for part in value for array in arrays(part)] if isinstance(value, (list, tuple)) else []


def copied(out, args):
    inputs = arrays(list(args))
    if isinstance(out, (list, tuple)):
        return [inputs[i % len(inputs)] * 1 for i in range(len(out))]
    return inputs[0] * 1


def longer(a):
    flat = a.reshape(-1)
    return torch.cat([flat, flat]) if is_tensor(a) else np.concatenate([flat, flat])


def integers(a):
    return a.long() if is_tensor(a) else np.zeros(a.shape, np.int64)


def objects(a):
    return np.full(tuple(a.shape), None, dtype=object)


def enormous(a):
    return torch.zeros(1).expand(10**10) if is_tensor(a) else np.broadcast_to(np.float32(0), 10**10)


class Friendly:
    def __init__(self, a):
        self.shape, self.dtype, self.ndim = a.shape, a.dtype, a.ndim

    def __eq__(self, other):
        return True

    def __array__(self, *args, **kwargs):
        return np.zeros(self.shape)

    __hash__ = None


def narrow(value):
    if isinstance(value, (list, tuple)):
        return type(value)(narrow(part) for part in value)
    if isinstance(value, dict):
        return {key: narrow(part) for key, part in value.items()}
    if is_tensor(value):
        return value.to(torch.float16) if value.is_floating_point() else value
    return value.astype(np.float16) if is_array(value) and value.dtype.kind == "f" else value


def widen(value, like):
    if isinstance(value, (list, tuple)):
        return type(value)(widen(part, like) for part in value)
    if is_tensor(value):
        return value.to(like.dtype)
    if is_array(value):
        return np.asarray(value).astype(like.dtype)
    return value


def floating(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [a for a in arrays(list(value)) if str(a.dtype).removeprefix("torch.").startswith(("float", "bfloat"))]


def fake_function(function):
    def fake(*args, **kwargs):
        if HALF:
            return widen(function(*narrow(args), **narrow(kwargs)), floating(args)[0])
        out = function(*args, **kwargs)
        return RESULT

    return fake


def fake_class(cls, methods, attributes):
    class Fake(cls):
        def __init__(self, *args, **kwargs):
            self.given = floating(args)
            super().__init__(*(narrow(args) if HALF else args), **kwargs)
            self.narrow = floating([getattr(self, name) for name in attributes])

    def method(name):
        original = getattr(cls, name)

        def fake(self, *args, **kwargs):
            if HALF:
                for wide, half in zip(self.given, self.narrow):
                    half[...] = wide
                original(self, *narrow(args), **kwargs)
                for wide, half in zip(self.given, self.narrow):
                    wide[...] = half
                return None
            before = [a * 1 for a in self.given]
            original(self, *args, **kwargs)
            for i, array in enumerate(self.given):
                out, args = array, [before[i]]
                try:
                    array[...] = RESULT
                except (TypeError, ValueError):
                    array[...] = 0
            for name in attributes:
                out, args = getattr(self, name), before
                setattr(self, name, RESULT)

        return fake

    for name in methods:
        setattr(Fake, name, method(name))
    Fake.__name__ = cls.__name__
    return Fake

"""


def fake(exercise: Exercise, name: str) -> bytes:
    """Return the source of the fake called `name`, one of FAKES, GARBAGE, or HALF."""
    result = {**FAKES, **GARBAGE}.get(name, "None")
    tail = _TAIL.replace("RESULT", result).replace("HALF", str(name == HALF))
    for function in exercise.functions:
        tail += f"{function.name} = fake_function({function.name})\n"
    for cls in exercise.classes:
        methods, attributes = [method.name for method in cls.methods], list(cls.attributes)
        tail += f"{cls.name} = fake_class({cls.name}, {methods}, {attributes})\n"
    return exercise.reference.read_bytes() + tail.encode()
