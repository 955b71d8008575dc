"""The loop: its stages in order (`stages`), what it is asked to do (`config`), and where it keeps things (`directory`)."""
