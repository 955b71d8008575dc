"""Records: their schema and ids, and reading and writing them in every usual shape."""
