"""Verifies a bundle offline: files, ledger, what its statements claim of the run, and every figure made anew."""
