def roots(x):
    """Return sqrt(x**2 + 40): an array of x's shape and dtype."""
    raise NotImplementedError
