"""Models: embedded, local and endpoint behind one protocol; the guard, and the system made of them."""
