"""Named feature sets."""
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "default": (
        "relative_utilization", "log_weight", "log_capacity", "time", "log_mlu", "recency", "actions",
        "change", "shifted_share", "mean_relative_utilization", "weight", "near_maximum",
    ),
    "paper": ("utilization", "weight"),
}
