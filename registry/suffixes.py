"""What the end of an architecture's name says: how it is run, and which siblings would serve it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

Runner = Literal["generate", "pooling"]
Conversion = Literal["none", "embed", "classify", "token_embed", "token_classify"]

# The first that fits counts, so the most general stands last.
SUFFIXES: dict[str, tuple[Runner, Conversion]] = {
    "ForCausalLM": ("generate", "none"),
    "ForConditionalGeneration": ("generate", "none"),
    "ChatModel": ("generate", "none"),
    "LMHeadModel": ("generate", "none"),
    "ForTextEncoding": ("pooling", "embed"),
    "EmbeddingModel": ("pooling", "embed"),
    "ForSequenceClassification": ("pooling", "classify"),
    "ForTokenClassification": ("pooling", "classify"),
    "ForAudioClassification": ("pooling", "classify"),
    "ForImageClassification": ("pooling", "classify"),
    "ForVideoClassification": ("pooling", "classify"),
    "ClassificationModel": ("pooling", "classify"),
    "ForRewardModeling": ("pooling", "embed"),
    "RewardModel": ("pooling", "embed"),
    "Model": ("pooling", "embed"),
}

# The end of the name of a class that no spec names -> what makes it of the family that a sibling's name leads to.
CONVERSIONS: dict[str, Conversion] = {
    "ForSequenceClassification": "classify",
    "ForTokenClassification": "token_classify",
    "Model": "embed",
}


def find_suffix(architecture: str, *, runner: Runner | None = None, conversion: Conversion | None = None) -> str:
    """The suffix of a name, of those that say this runner and this conversion (None: any); '' when there is none."""
    for suffix, (runs, converts) in SUFFIXES.items():
        if architecture.endswith(suffix) and runner in (None, runs) and conversion in (None, converts):
            return suffix
    return ""


def siblings(architecture: str, *, runner: Runner | None = None, conversion: Conversion | None = None) -> Iterator[str]:
    """The name with its suffix replaced by each other one, in the order of the table; none for a name without one."""
    if suffix := find_suffix(architecture, runner=runner, conversion=conversion):
        stem = architecture.removesuffix(suffix)
        yield from (stem + other for other in SUFFIXES if other != suffix)


def family_words(architecture: str) -> dict[str, Conversion]:
    """Names of the classes that could serve in place of one that no spec names -> the conversion that it takes."""
    conversion = CONVERSIONS.get(find_suffix(architecture))
    return dict.fromkeys(siblings(architecture), conversion) if conversion else {}
