"""From a checkpoint folder, or a spec alone, to a model that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from triptych.arguments import check_arguments
from triptych.assembly import Assembled, Tower, assemble
from triptych.assembly.choose import Choice, choose
from triptych.assembly.model_class import FromSpec, model_class
from triptych.assembly.pooled import Pooled
from triptych.capabilities import supports_multimodal
from triptych.errors import OptionError, SpecError
from triptych.inputs.digests import digest_of
from triptych.inputs.framing import frames_of
from triptych.inputs.processing import (
    BaseMultiModalProcessor,
    InputProcessingContext,
    SenderCache,
    build_processor,
)
from triptych.inputs.tokenizer import ByteTokenizer, Tokenizer
from triptych.kernels.choice import Kernels
from triptych.kernels.choice import Said as SaidKernels
from triptych.parts.packing import pack
from triptych.runner.failures import room_for
from triptych.runner.memory import free_bytes
from triptych.runner.pipe import Pipe
from triptych.settings import WHOLE, MultiModalSettings, Settings, Stage
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.classifier import Method
from triptych.spec.overrides import overridden
from triptych.tasks.hand_written import check_cut, check_runs, load_model
from triptych.tasks.model import Model
from triptych.tasks.options import Device, Dtype, as_device, as_dtype, as_settings, stated_dtype
from triptych.tasks.source import Conversion, Folder, Source, read_source
from triptych.weights import check, fill, fill_random, match, names_in

Progress = Callable[[int, int], None]
APART = "of a processor that stands apart from its model; here items go straight to it: give a ProcessorCache, or bytes"


@dataclass(frozen=True)
class _Use:
    """How the caller wants a model."""

    overrides: Sequence[str]
    multimodal: MultiModalSettings
    stage: Stage
    device: torch.device
    dtype: torch.dtype
    progress: Progress | None


def load(
    folder: Folder,
    *,
    spec: str | None = None,
    device: Device = "cpu",
    dtype: Dtype = None,
    convert: Conversion | None = None,
    classifier_from_token: Sequence[str | int] | None = None,
    method: Method | None = None,
    overrides: Sequence[str] | None = None,
    multimodal: MultiModalSettings | None = None,
    stage: Stage = WHOLE,
    kernels: SaidKernels = "auto",
    progress: Progress | None = None,
) -> Model:
    """The model of a checkpoint folder, or of a hub id such as `owner/name`, whose files are fetched first.

    `config.json`, or a file of another name that a spec knows (Mistral's `params.json`), chooses the spec, or the
    registered class, and what it is converted to; a `spec.yaml` in the folder goes before it, and before both `spec`, a
    registered name or the path of a YAML file. Tensors of a folder with a spec are called as the parameters. `convert`
    makes a model that writes one to `embed` or to `classify`, or with `token_` before it to do so with each token.
    Where it has no layer for labels, rows of its head are one: `classifier_from_token` names the tokens, by text or by
    id, and `method` is `from_2_way_softmax` (false, true: the chance of the second among the two) or
    `no_post_processing` (a label each); a config may say both under the same names. `overrides` (`path.to.key=value`)
    change the spec. `multimodal` says which items prompts may have, and with that which towers are there at all; it
    may leave the language model out too. What is left out is not read. `stage` is that of this process in a pipeline
    of several: its layers alone are read, and the processes, which are one of torch's process groups, run the model
    together when each asks it the same. Without `dtype` it is what the config says, else what most of the file is
    stored in. `kernels` says which ops run on Triton kernels: `auto` for those that a GPU and the shapes allow,
    `triton` or `reference`; or of some ops, `{rms_norm: reference}`. `progress(done, total)` counts bytes read. Raises
    TriptychError with all that is wrong, before any weight is read.
    """
    check_arguments(
        spec=(spec, str | None),
        convert=(convert, str | None),
        classifier_from_token=(classifier_from_token, Sequence | None),
        method=(method, str | None),
        overrides=(overrides, Sequence | None),
        stage=(stage, Stage),
        progress=(progress, Callable | None),
    )
    where, kind, media = as_device(device), as_dtype(dtype), as_settings(multimodal)
    chosen_kernels = Kernels.of(kernels)
    pipe = _pipe(stage)
    source = read_source(folder, tokens=classifier_from_token, method=method)
    source = source.converted(convert or source.conversion)
    chosen = _chosen(spec or source.spec, source, convert or source.conversion)
    use = _Use(overrides or (), media, stage, where, kind or stated_dtype(source.checkpoint), progress)
    built: Assembled | None = None
    module: nn.Module
    name = chosen.model.__qualname__
    if issubclass(chosen.model, FromSpec):
        built = _from_spec(chosen.model, source, use, convert=chosen.convert)
        module, name = built.module, built.name
    else:
        with _room(name, where, use.dtype):
            module = _by_hand(chosen.model, source, use)
    pack(module)
    processor = _processor(module, source.config, media, tokenizer=source.tokenizer, folder=source.folder, of=built)
    return Model(
        module.eval(),
        source.config,
        name=name,
        folder=source.folder,
        tokenizer=source.tokenizer,
        processor=processor,
        sentences=source.sentences,
        pipe=pipe,
        kernels=chosen_kernels,
    )


def random_init(
    spec: str,
    *,
    device: Device = "cpu",
    dtype: Dtype = None,
    seed: int = 0,
    overrides: Sequence[str] | None = None,
    stage: Stage = WHOLE,
    kernels: SaidKernels = "auto",
) -> Model:
    """A model of a spec's own sample config with random weights, on bytes instead of a tokenizer's tokens.

    `spec` is a registered name or the path of a YAML file; the override `sample.hidden_size=128` makes it wider.
    `kernels` and `stage` are as with `load`: of a stage its part alone has memory, and in it the weights
    that the whole model has there. Raises TriptychError with all that is wrong, before any memory is taken.
    """
    check_arguments(spec=(spec, str), seed=(seed, int), overrides=(overrides, Sequence | None), stage=(stage, Stage))
    where, kind, chosen_kernels = as_device(device), as_dtype(dtype) or torch.float32, Kernels.of(kernels)
    pipe = _pipe(stage)
    config = sample_config(overridden(load_named(spec)[1], overrides or ()))
    assembled = assemble(spec, config, overrides=overrides or (), stage=stage)
    _check_takes_text(assembled)
    _check_room(assembled, device=where, dtype=kind)
    with _room(assembled.name, where, kind):
        fill_random(assembled.module, seed=seed, device=where, dtype=kind)
    pack(assembled.module)
    tokenizer = ByteTokenizer(int(assembled.module.vocab_size))  # type: ignore[arg-type]
    processor = _processor(assembled.module, config, MultiModalSettings(), tokenizer=tokenizer, of=assembled)
    return Model(
        assembled.module.eval(),
        config,
        name=assembled.name,
        tokenizer=tokenizer,
        processor=processor,
        pipe=pipe,
        kernels=chosen_kernels,
    )


def _pipe(stage: Stage) -> Pipe | None:
    """The way to the other stages; None where there are none."""
    return Pipe(stage) if stage.size > 1 else None


def _chosen(spec: str | None, source: Source, convert: Conversion | None) -> Choice:
    """What the caller says, else what the config of the checkpoint does."""
    if spec is None:
        return choose(source.config, convert=convert, name=str(source.folder))
    name, tree = load_named(spec)
    return Choice(model_class(tree, name=name, architecture=name), convert)


def _from_spec(model: type[FromSpec], source: Source, use: _Use, *, convert: str | None) -> Assembled:
    """The model of a spec, its weights placed; what the folder says of a pooler comes before the caller's overrides."""
    built = assemble(
        model.tree,
        source.with_label_ids(),
        overrides=[*source.sentences.overrides, *use.overrides],
        convert=convert,
        name=model.spec_name,
        multimodal=use.multimodal,
        stage=use.stage,
    )
    _check_takes_text(built)
    matching = match(built.module, names_in(source.folder, built.module, built.plan.scopes), source.tensors)
    check(matching, checkpoint=str(source.folder))
    _check_room(built, device=use.device, dtype=use.dtype)
    with _room(built.name, use.device, use.dtype):
        fill(built.module, matching, device=use.device, dtype=use.dtype, progress=use.progress)
    return built


def _by_hand(model: type, source: Source, use: _Use) -> nn.Module:
    """The model of a class written by hand; a pooler of an author's own may pool otherwise than the folder says."""
    check_runs(model)
    if use.stage.size > 1:
        check_cut(model)
    of_folder = () if issubclass(model, Pooled) else source.sentences.overrides
    _check_unchanged(model, [*of_folder, *use.overrides])
    return load_model(
        model,
        source.tensors,
        settings=Settings(
            config=source.with_label_ids(),
            multimodal=use.multimodal,
            stage=use.stage,
            pooler=source.sentences.pooler or {},
        ),
        device=use.device,
        dtype=use.dtype,
        progress=use.progress,
    )


def _processor(
    module: nn.Module,
    config: Mapping[str, Any],
    media: MultiModalSettings,
    *,
    tokenizer: Tokenizer | None,
    folder: Path | None = None,
    of: Assembled | None = None,
) -> BaseMultiModalProcessor[Any] | None:
    """What prepares the items of prompts, as the spec says it `of` whose model this is, else as its class does.

    None for a model that takes text only.
    """
    if not supports_multimodal(module):
        return None
    if isinstance(media.processor_cache, SenderCache):
        raise OptionError(f"is a SenderCache, {APART}", path="multimodal.processor_cache")
    context = InputProcessingContext(
        config,
        settings=media,
        tokenizer=tokenizer,
        folder=folder,
        tokens=of.tokens if of else {},
        sources=of.plan.sources if of else {},
        name=of.name if of and folder is None else str(folder),
        reader=_reader(config, media, folder=folder, of=of),
        dtype=next(module.parameters()).dtype,
        width=_item_width(module.get_language_model()),
    )
    return build_processor(module, context, plan=of.plan if of else None)


def _reader(config: Mapping[str, Any], media: MultiModalSettings, *, folder: Path | None, of: Assembled | None) -> str:
    """All that items are prepared by, beside the settings of their processor and the class of it."""
    trees = {path: repr(scope.tree) for path, scope in of.plan.scopes.items()} if of else {}
    return digest_of(frames_of([str(folder and folder.resolve()), repr(config), trees, media.video_pruning])).hex()


def _item_width(text: object) -> int | None:
    """The width of rows of items, as far as a language model tells."""
    found: int | None = getattr(text, "item_width", getattr(text, "width", None))
    return found


def _check_unchanged(model: type, changes: Sequence[str]) -> None:
    """Raise OptionError for overrides, of the caller or of a folder of sentences: a class has no spec to change."""
    if changes:
        given = ", ".join(changes)
        raise OptionError(f"{model.__qualname__} is written by hand, and has no spec for {given} to change")


def _check_room(assembled: Assembled, *, device: torch.device, dtype: torch.dtype) -> None:
    """Raise OptionError when the parameters need more memory than is free, before any of it is taken."""
    needed, free = sum(p.numel() for p in assembled.module.parameters()) * dtype.itemsize, free_bytes(device)
    if free is not None and needed > free:
        sizes = f"{needed / 2**30:,.1f} GiB of parameters in {dtype}, and {free / 2**30:,.1f} GiB are free on {device}"
        raise OptionError(f"{assembled.name} has {sizes}; a smaller dtype or another device may do")


def _room(name: str, device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Where weights are placed: others may have taken what was free."""
    return room_for(f"{name} in {dtype} on {device}", less="a smaller dtype or another device may do")


def _check_takes_text(assembled: Assembled) -> None:
    if isinstance(assembled.module, Tower):
        raise SpecError(f"{assembled.name} is a tower: it makes rows for a language model, and no text by itself")
