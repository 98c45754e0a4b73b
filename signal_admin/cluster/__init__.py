"""Where the wire grows: the planner, three nodes instead of one, consumers in memory, a copy at another site."""
