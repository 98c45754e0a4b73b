"""The engine `python`: somebody's own engine, found by its entry point, with a guard between it and the agent."""
