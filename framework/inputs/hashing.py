"""Names for items by their content, so that what is known of one is found again."""

from __future__ import annotations

from collections.abc import Mapping

from triptych.inputs.digests import digest_of
from triptych.inputs.framing import frames_of
from triptych.inputs.media.originals import Original
from triptych.inputs.media.videos import Video


def hash_item(
    item: object, *, model: str, modality: str, keywords: Mapping[str, object], uuid: str | None = None, salt: str = ""
) -> str:
    """The name of one item for one model: a hash, as 64 hexadecimal digits, of all that its tensors depend on.

    `keywords` are those of the processor for this modality. An item that is an `Original` is told by what it was given
    as, so that a file has another name than the same pixels in memory. A `uuid` that the user gives stands for the
    content: alone it is the name itself, unless the request has a `salt`, which keeps its names apart from those of
    others. Raises InputError for content of a type that no item has.
    """
    if uuid is not None and not keywords and not salt:
        return uuid
    content = ("uuid", uuid) if uuid is not None else ("content", *_told(item))
    return digest_of(frames_of([salt, model, modality, *content, dict(keywords)])).hex()


def _told(item: object) -> tuple[object, ...]:
    """What an item is told by."""
    match item:
        case Original(name=name):
            return ("original", name)
        case Video(frames=frames, metadata=metadata):
            return ("video", frames, metadata)
    return (item,)
