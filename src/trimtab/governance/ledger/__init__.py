"""The transparency log of signed statements."""
