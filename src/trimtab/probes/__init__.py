"""Probes measure a system on suites: one file per probe. Every figure is a function of outcomes alone."""
