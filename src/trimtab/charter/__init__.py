"""The charter: principles that a model is taught, and why."""
