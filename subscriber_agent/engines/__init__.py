"""Where an accepted order goes: `engine` is the agreement, `fitting` what an engine can take, the rest are engines."""
