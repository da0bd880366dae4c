"""Models as data: a model family is a YAML document; one runner runs every spec."""
