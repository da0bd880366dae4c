if __name__ != "triptych.contrib_models":
    raise ImportError(f"import triptych.contrib_models, not {__name__}")
