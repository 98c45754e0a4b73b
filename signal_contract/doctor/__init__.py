"""What both doctors share: the registry of checks, the values of an examination, and the probes of the network."""
