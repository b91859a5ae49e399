"""Named sets and the users' own files."""
