"""Statistics: intervals that respect clusters, paired changes, judge correction, power."""
