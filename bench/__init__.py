"""`make bench`: figures against the goals, and ratios against a comparable server in the same run."""
