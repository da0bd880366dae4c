"""The activation with parameters of its own has nothing to say in YAML."""

from __future__ import annotations

from typing import ClassVar

from triptych.spec.base import PartSpec


class XIELUSpec(PartSpec):
    builds: ClassVar[str | type] = "triptych.parts.xielu:XIELU"
