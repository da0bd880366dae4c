if __name__ != "triptych.schemas":
    raise ImportError(f"import triptych.schemas, not {__name__}")
