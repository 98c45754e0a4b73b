"""The demonstration: the real commands as real processes, in a temporary directory, watched and checked."""
