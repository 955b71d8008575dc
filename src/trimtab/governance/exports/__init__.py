"""Documents about a release, generated from what it holds: never more than that says, never a claim of conformity."""
