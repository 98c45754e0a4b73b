"""Feature flags from the operator's side: what he set, and the signed document that agents read."""
