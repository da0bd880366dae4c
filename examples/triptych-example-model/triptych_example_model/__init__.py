"""A family for triptych. Its entry points stand in pyproject.toml."""
