"""The message-passing network."""
from policy.preset import PRESETS, Preset

__all__ = ["PRESETS", "Preset"]
