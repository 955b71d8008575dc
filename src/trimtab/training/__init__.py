"""Fits adapters (TRL and PEFT) and the guard."""
