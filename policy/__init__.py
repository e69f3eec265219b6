"""The policy: features, message-passing network, sampling, checkpoints and the central engine."""
