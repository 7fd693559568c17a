"""bench: what a compressed small language model costs and saves, measured so that others can repeat it."""

__version__ = "0.1.0"
