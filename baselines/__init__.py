"""What a user would run instead of a policy: OSPF defaults, heuristics, searches and the bound that none can pass."""
