"""f x."""


def double(x, factor=2.0):
    """Return factor * x."""
    return factor * x
