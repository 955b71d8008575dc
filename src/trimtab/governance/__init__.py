"""Governance: the gates written down before the run, their verdicts, and what is signed and released."""
