"""The bias mechanism: its seeds, its held-out cases and its records."""
