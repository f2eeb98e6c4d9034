"""Sandboxes that isolate: the engines docker and bubblewrap, their images, and what keeps them in bounds."""
