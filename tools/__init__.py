"""Programs of the repository, run from its root; nothing here is installed."""
