"""What YAML may say of a router that norms the rows it is given."""

from __future__ import annotations

from typing import ClassVar

from triptych.parts.routers_spec import Experts
from triptych.spec.base import Norm, PartSpec


class NormedRouterSpec(PartSpec):
    """The `k` experts with the largest shares, by a softmax of rows that the `norm` and a gain come before.

    Shares of the chosen sum to one, and are times a factor of each expert then.
    """

    builds: ClassVar[str | type] = "triptych.parts.normed_router:NormedRouter"
    k: Experts
    norm: Norm
