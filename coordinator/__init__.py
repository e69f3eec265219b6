"""Starts episodes and collects their results; while one runs, the agents do not need it."""
