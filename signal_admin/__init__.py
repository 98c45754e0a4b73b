"""The operator's desk: keys, accounts, users, streams, the embedded server."""
