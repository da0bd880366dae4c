"""From a prompt and its items to token ids, tensors and places: the steps that every multimodal model goes through."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import ClassVar, Generic

from triptych.arguments import check_arguments
from triptych.errors import InputError, InputTypeError, OptionError, short
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.hashing import hash_item
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import MultiModalDataItems, check_limits, merge_processor_kwargs
from triptych.inputs.media.calling import cast_floating, refusing
from triptych.inputs.media.keywords import OTHER_NAMES, Scope
from triptych.inputs.media.parser import id_errors
from triptych.inputs.media.reading import check_none
from triptych.inputs.processing.blame import blame
from triptych.inputs.processing.cache import ProcessorCache
from triptych.inputs.processing.context import InputProcessingContext
from triptych.inputs.processing.dummy import BaseDummyInputsBuilder, Info
from triptych.inputs.processing.info import BaseProcessingInfo
from triptych.inputs.processing.inputs import MultiModalInputs, ProcessorInputs
from triptych.inputs.processing.processed import Kept, Processed, may_be_kept, with_cache
from triptych.inputs.prompt import as_token_ids
from triptych.inputs.updates import (
    AppliedUpdates,
    ItemUpdates,
    PromptUpdate,
    apply_prompt_updates,
    bind_updates,
    check_counts,
)
from triptych.inputs.updates.unasked import check_unasked
from triptych.settings import MultiModalSettings

logger = logging.getLogger(__name__)

Keywords = Mapping[Scope, Mapping[str, object]]
"""Keywords for the checkpoint's processor, by the kind of input that they are for."""


class BaseMultiModalProcessor(ABC, Generic[Info]):
    """Items through the checkpoint's processor, placeholders into the prompt.

    A model writes `_call_hf_processor`, `_get_mm_fields_config` and `_get_prompt_updates`; the other hooks are there to
    be changed where a model is unlike the others. They run in the order in which they stand here. What they make of an
    item is kept in `cache`, so that the same item, whatever stands beside it, is not processed again; None keeps none.
    """

    requires_tokenizer: ClassVar[bool] = True
    between: ClassVar[str] = "\n"
    """What stands between the items and a text that has no places for them."""
    searches_text: ClassVar[bool] = True
    """Where a target is not among the tokens of a prompt its text is searched, and the prompt encoded anew."""
    exact: ClassVar[tuple[str, ...]] = ()
    """What the keys of fields end in whose numbers stay as they are; others are made the model's dtype."""

    def __init__(self, info: Info, dummy_inputs: BaseDummyInputsBuilder[Info]) -> None:
        check_arguments(info=(info, BaseProcessingInfo), dummy_inputs=(dummy_inputs, BaseDummyInputsBuilder))
        if self.requires_tokenizer and info.ctx.tokenizer is None:
            raise InputError(f"{type(self).__name__} needs a tokenizer, and this model has none")
        self.info, self.dummy_inputs = info, dummy_inputs
        self.cache = _cache_of(info.ctx.settings)
        self._reader = _reader(self, info.ctx)
        if self.cache is not None:
            self.cache.bind(self._reader)

    def __call__(
        self, prompt: str | Sequence[int], mm_data: Mapping[str, object], mm_kwargs: Mapping[str, object] | None = None
    ) -> MultiModalInputs:
        """`apply` on items as users give them."""
        items = self.info.get_data_parser().parse_mm_data(mm_data)
        return self.apply(ProcessorInputs(prompt, items, mm_kwargs=mm_kwargs or {}))

    def apply(self, inputs: ProcessorInputs) -> MultiModalInputs:
        """The prompt with a placeholder for each row, and the items as tensors.

        Raises InputError for items that are not taken, or not that many, and PromptUpdateError, with expected and found
        counts, when items, updates and placeholders do not fit together. A hook that raises anything else is told with
        PluginError, the checkpoint's processor with InputError that has its arguments.
        """
        if not isinstance(inputs, ProcessorInputs):
            raise InputTypeError(f"ProcessorInputs are wanted, not {short(inputs)}; call the processor on plain data")
        with blame(self, "on these items"):
            return self._apply(inputs)

    def encode(self, text: str, *, bare: bool = False) -> list[int]:
        """Token ids of a prompt; `bare` where it has its special tokens written out, as a rendered chat has."""
        tokenizer = self.info.get_tokenizer()
        return tokenizer.encode_bare(text) if bare else tokenizer.encode(text)

    def encode_beside(self, text: str, items: MultiModalDataItems, *, bare: bool = False) -> list[int]:  # noqa: ARG002
        """Those of a prompt with these items, of which the text around their placeholders may hang."""
        return self.encode(text, bare=bare)

    def _get_hf_mm_data(self, mm_items: MultiModalDataItems) -> tuple[dict[str, object], dict[str, object]]:
        """What the checkpoint's processor is given, and what goes to the model past it."""
        each = mm_items.values()
        given = {key: data for items in each for key, data in items.get_processor_data().items()}
        past = {key: data for items in each for key, data in items.get_passthrough_data().items()}
        return given, past

    def _get_dummy_text(self, mm_items: MultiModalDataItems) -> str | None:  # noqa: ARG002
        """A text for a processor that takes no items without one; None for one that does."""
        return None

    @abstractmethod
    def _call_hf_processor(
        self, text: str | None, mm_data: Mapping[str, object], mm_kwargs: Keywords
    ) -> Mapping[str, object]:
        """The checkpoint's processor on items, and on a dummy text if it wants one, which is not cut."""

    def _postprocess_data(self, data: dict[str, object], mm_kwargs: Keywords) -> dict[str, object]:  # noqa: ARG002
        """What the model takes, of what the processor gave and what went past it."""
        return data

    @abstractmethod
    def _get_mm_fields_config(
        self, hf_inputs: Mapping[str, object], mm_kwargs: Keywords
    ) -> Mapping[str, MultiModalFieldConfig]:
        """How each key is cut into items."""

    @abstractmethod
    def _get_prompt_updates(
        self, mm_items: MultiModalDataItems, mm_kwargs: Keywords, out_mm_kwargs: MultiModalKwargsItems
    ) -> Sequence[PromptUpdate]:
        """What each item changes in the prompt."""

    def _postprocess_prompt(self, token_ids: list[int]) -> list[int]:
        """The prompt that the updates apply to."""
        return token_ids

    def _update_prompt(self, token_ids: list[int], updates: ItemUpdates) -> AppliedUpdates:
        """The prompt with the updates applied."""
        tokenizer = self.info.ctx.tokenizer
        return apply_prompt_updates(token_ids, updates, tokenizer=tokenizer, allow_fallback=self.searches_text)

    def _get_expected_rows(
        self,
        mm_items: MultiModalDataItems,  # noqa: ARG002
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> Mapping[str, Sequence[int]] | None:
        """How many rows each item gives, where a formula tells."""
        return None

    def _apply(self, inputs: ProcessorInputs) -> MultiModalInputs:
        items, counts = inputs.mm_items, inputs.mm_items.get_all_counts()
        check_none([*id_errors(items, inputs.mm_uuids)])
        check_limits(items, self.info.ctx.settings, self.info.get_supported_mm_limits())
        keywords = merge_processor_kwargs(self.info.ctx.settings.processor, inputs.mm_kwargs)
        names = self._hash(inputs, keywords)
        process = partial(self._processed, keywords=keywords)
        keeps = inputs.keep and may_be_kept(items)
        kept = Kept(self.cache, self._reader) if self.cache is not None and keeps else None
        processed = process(items) if kept is None else with_cache(items, names, kept, process)
        ids = (
            self.encode_beside(inputs.prompt, items) if isinstance(inputs.prompt, str) else as_token_ids(inputs.prompt)
        )
        applied = self._update_prompt(self._postprocess_prompt(ids), processed.updates)
        check_unasked(processed.declared, counts, applied, tokenizer=self.info.ctx.tokenizer)
        check_counts(counts, placeholders=applied.placeholders, expected=processed.rows)
        places = {modality: [info.to_range() for info in found] for modality, found in applied.placeholders.items()}
        if applied.used_fallback:
            logger.warning("a target is not among the tokens of a prompt: its text was searched, and encoded anew")
        whole = tuple(applied.token_ids)
        return MultiModalInputs(whole, processed.items, names, places, used_fallback=applied.used_fallback)

    def _processed(self, items: MultiModalDataItems, keywords: Keywords) -> Processed:
        counts = items.get_all_counts()
        found = self._process(items, keywords)
        declared = self._get_prompt_updates(items, keywords, found)
        updates = bind_updates(declared, counts, tokenizer=self.info.ctx.tokenizer)
        check_counts(counts, processed=found, updates=updates)
        return Processed(found, declared, updates, self._get_expected_rows(items, found) or {})

    def _process(self, items: MultiModalDataItems, keywords: Keywords) -> MultiModalKwargsItems:
        given, past = self._get_hf_mm_data(items)
        found = dict(self._call(items, given, keywords)) if given else {}
        data = self._postprocess_data({**found, **past}, keywords)
        cast = {key: cast_floating(value, self.info.ctx.dtype, path=key) for key, value in data.items()}
        data = {key: data[key] if self.exact and key.endswith(self.exact) else value for key, value in cast.items()}
        return MultiModalKwargsItems.from_hf_inputs(data, self._get_mm_fields_config(data, keywords))

    def _call(
        self, items: MultiModalDataItems, given: Mapping[str, object], keywords: Keywords
    ) -> Mapping[str, object]:
        text = self._get_dummy_text(items)
        used = {f"{scope}_kwargs": words for scope, words in keywords.items() if words}
        with refusing(type(self).__qualname__, {**given, **used}):
            return self._call_hf_processor(text, given, keywords)

    def _hash(self, inputs: ProcessorInputs, keywords: Keywords) -> dict[str, list[str]]:
        return {
            modality: [
                hash_item(
                    items.content(index),
                    model=self.info.ctx.name,
                    modality=modality,
                    keywords=_of(keywords, modality),
                    uuid=uuid,
                    salt=inputs.salt,
                )
                for index, uuid in zip_longest(range(len(items)), inputs.mm_uuids.get(modality, ()))
            ]
            for modality, items in inputs.mm_items.items()
        }


def _cache_of(settings: MultiModalSettings) -> ProcessorCache | None:
    """That of the settings, or a new one. Raises OptionError for one of another class."""
    given = settings.processor_cache
    cache = ProcessorCache(given) if isinstance(given, int) else given
    if not isinstance(cache, ProcessorCache):
        raise OptionError(f"bytes, or a ProcessorCache are wanted, not {short(cache)}", path="processor_cache")
    return cache if cache.capacity else None


def _reader(processor: object, ctx: InputProcessingContext) -> Hashable:
    """What is equal for two processors that make the same of an item: nothing, where the context does not say."""
    kind = type(processor)
    return (kind.__module__, kind.__qualname__, ctx.reader, ctx.dtype) if ctx.reader else object()


def _of(keywords: Keywords, modality: str) -> Mapping[str, object]:
    """The keywords that the items of a modality depend on; all of them where it mixes kinds of input."""
    scope: Scope | None = "audio" if modality == "audio" else OTHER_NAMES.get(modality)
    return keywords[scope] if scope is not None else {kind: given for kind, given in keywords.items() if given}
