"""Where an accepted order goes. `engine` is the agreement, `paper` the one engine of this version."""
