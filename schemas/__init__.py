"""Typed inputs: the shapes, dtypes and words that a model's inputs must have."""

if __name__ != "triptych.schemas":
    raise ImportError(f"import triptych.schemas, not {__name__}")

from triptych.schemas.schema import TensorSchema as TensorSchema
from triptych.schemas.shape import TensorShape as TensorShape
