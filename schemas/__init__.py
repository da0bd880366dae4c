"""Typed inputs: the shapes, dtypes and words that a model's inputs must have."""

if __name__ != "triptych.schemas":
    raise ImportError(f"import triptych.schemas, not {__name__}")

from triptych.schemas.document import compile_schema as compile_schema
from triptych.schemas.embeds import check_embeds as check_embeds
from triptych.schemas.json_schema import json_schema as json_schema
from triptych.schemas.schema import TensorSchema as TensorSchema
from triptych.schemas.shape import TensorShape as TensorShape
from triptych.schemas.union import TaggedUnion as TaggedUnion
from triptych.schemas.union import tagged_union as tagged_union
