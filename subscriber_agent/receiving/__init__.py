"""From the server to the journal: pull, verify, keep, acknowledge, and know how well signals flow."""
