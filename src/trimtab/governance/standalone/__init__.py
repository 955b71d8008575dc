"""The second implementation of verification: one file, standard library only, copied into every bundle."""
