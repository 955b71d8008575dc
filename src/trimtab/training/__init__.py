"""Fits adapters (TRL and PEFT) and the guard, and trims their strengths."""
