def double(x, factor=2.0):
    """Return factor * x: an array of x's shape and dtype."""
    raise NotImplementedError
