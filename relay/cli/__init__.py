"""The command line: each command parses, makes one call, prints and returns an exit code."""
