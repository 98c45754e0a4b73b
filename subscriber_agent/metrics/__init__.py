"""What the agent measures, read from its journal beside it: a slow or failing look holds up no trade."""
