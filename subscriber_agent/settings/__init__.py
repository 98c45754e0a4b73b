"""The settings around the models: where values come from, what is wrong with them, what differs, what is looser."""
