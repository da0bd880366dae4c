"""Experiments: what Hydra composes from `conf/` and the registry, checked whole, and the task that it names."""
