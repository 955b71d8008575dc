"""Screens: checks of a dataset, one file each; they return findings, and the policy decides."""
