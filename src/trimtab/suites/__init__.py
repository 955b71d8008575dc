"""Held-out cases, and the splits they are kept in."""
