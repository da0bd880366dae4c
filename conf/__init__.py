if __name__ != "triptych.conf":
    raise ImportError(f"import triptych.conf, not {__name__}")
