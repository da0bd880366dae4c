"""Models as data: a model family is a YAML document; one runner runs every spec."""

if __name__ != "triptych":
    raise ImportError(f"import triptych, not {__name__}")
