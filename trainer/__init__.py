"""Central training of the policy: environment, torch twin of the network, PPO."""
