"""From a checkpoint folder, or a spec alone, to a model that runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from triptych.assembly import Assembled, Tower, assemble
from triptych.assembly.choose import choose
from triptych.assembly.model_class import FromSpec
from triptych.assembly.pooled import Pooled
from triptych.capabilities import supports_multimodal
from triptych.errors import CheckpointError, OptionError, SpecError, suggest
from triptych.inputs.label_tokens import with_label_ids
from triptych.inputs.processing import BaseMultiModalProcessor, InputProcessingContext, build_processor
from triptych.inputs.sentence import SentenceUse, load_sentence_use
from triptych.inputs.tokenizer import ByteTokenizer, Tokenizer, load_tokenizer
from triptych.registry import spec_files
from triptych.runner.memory import free_bytes
from triptych.settings import MultiModalSettings, Settings
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.classifier import METHOD, TOKENS, Method
from triptych.spec.overrides import overridden
from triptych.tasks.hand_written import load_model
from triptych.tasks.model import Model
from triptych.weights import Checkpoint, check, fill, fill_random, match, tables

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # no pickle and no code

Dtype = torch.dtype | str | None
Conversion = Literal["embed", "classify"]


def load(
    folder: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: Dtype = None,
    convert: Conversion | None = None,
    classifier_from_token: Sequence[str | int] | None = None,
    method: Method | None = None,
    overrides: Sequence[str] | None = None,
    multimodal: MultiModalSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """The model of a checkpoint folder, or of a hub id such as `owner/name`, whose files are fetched first.

    `config.json` chooses the spec, or the registered class, and what it is converted to; `convert` makes a model that
    writes one to `embed` or to `classify`. Where it has no layer for labels, rows of its head are one:
    `classifier_from_token` names the tokens, by text or by id, and `method` is `from_2_way_softmax` (false, true: the
    chance of the second among the two) or `no_post_processing` (a label each); a config may say both under the same
    names. `overrides` (`path.to.key=value`) change the spec. `multimodal` says which items prompts may have, and with
    that which towers are there at all; it may leave the language model out too. What is left out is not read. Without
    `dtype` it is what the config says, else what most of the file is stored in. `progress(done, total)` counts bytes
    read. Raises TriptychError with all that is wrong, before any weight is read.
    """
    where, kind, media = _device(device), _dtype(dtype), multimodal or MultiModalSettings()
    checkpoint = Checkpoint(_fetched(folder))
    sentences = load_sentence_use(checkpoint.folder) or SentenceUse()
    convert = convert or ("embed" if sentences.overrides else None)
    changes = [*sentences.overrides, *(overrides or ())]
    config, tokenizer = dict(checkpoint.config), load_tokenizer(checkpoint.folder)
    config |= {TOKENS: classifier_from_token} if classifier_from_token is not None else {}
    config |= {METHOD: method} if method is not None else {}
    convert = convert or ("classify" if config.get(TOKENS) is not None else None)
    labelled = with_label_ids(config, tokenizer)
    chosen = choose(config, convert=convert, name=str(checkpoint.folder))
    if not issubclass(chosen.model, FromSpec):
        takes_pooler = issubclass(chosen.model, Pooled)  # a pooler of an author's own may pool otherwise
        _check_unchanged(chosen.model, (overrides or ()) if takes_pooler else changes)
        module = load_model(
            chosen.model,
            checkpoint,
            settings=Settings(config=labelled, multimodal=media, pooler=sentences.pooler or {}),
            device=where,
            dtype=kind or _stated_dtype(checkpoint),
            beside=sentences.tensors,
            progress=progress,
        )
        return Model(
            module,
            config,
            name=chosen.model.__qualname__,
            folder=checkpoint.folder,
            tokenizer=tokenizer,
            processor=_processor(module, config, media, tokenizer=tokenizer, folder=checkpoint.folder),
            sentences=sentences,
        )
    own = chosen.model
    assembled = assemble(
        own.tree, labelled, overrides=changes, convert=chosen.convert, name=own.spec_name, multimodal=media
    )
    _check_takes_text(assembled)
    matching = match(assembled.module, tables(assembled.plan.scopes), {**checkpoint.tensors, **sentences.tensors})
    check(matching, checkpoint=str(checkpoint.folder))
    kind = kind or _stated_dtype(checkpoint)
    _check_room(assembled, device=where, dtype=kind)
    fill(module := assembled.module, matching, device=where, dtype=kind, progress=progress)
    return Model(
        module.eval(),
        config,
        name=assembled.name,
        folder=checkpoint.folder,
        tokenizer=tokenizer,
        processor=_processor(module, config, media, tokenizer=tokenizer, folder=checkpoint.folder, of=assembled),
        sentences=sentences,
    )


def random_init(
    spec: str,
    *,
    device: torch.device | str = "cpu",
    dtype: Dtype = None,
    seed: int = 0,
    overrides: Sequence[str] | None = None,
) -> Model:
    """A model of a spec's own sample config with random weights, on bytes instead of a tokenizer's tokens.

    `spec` is a registered name or the path of a YAML file; the override `sample.hidden_size=128` makes it wider.
    """
    where, kind = _device(device), _dtype(dtype) or torch.float32
    config = sample_config(overridden(load_named(spec)[1], overrides or ()))
    assembled = assemble(spec, config, overrides=overrides or ())
    _check_takes_text(assembled)
    _check_room(assembled, device=where, dtype=kind)
    fill_random(assembled.module, seed=seed, device=where, dtype=kind)
    tokenizer = ByteTokenizer(int(assembled.module.vocab_size))  # type: ignore[arg-type]
    processor = _processor(assembled.module, config, MultiModalSettings(), tokenizer=tokenizer, of=assembled)
    return Model(assembled.module.eval(), config, name=assembled.name, tokenizer=tokenizer, processor=processor)


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
    context = InputProcessingContext(
        config,
        settings=media,
        tokenizer=tokenizer,
        folder=folder,
        tokens=of.tokens if of else {},
        name=of.name if of and folder is None else str(folder),
        dtype=next(module.parameters()).dtype,
        width=getattr(module.get_language_model(), "width", None),
    )
    return build_processor(module, context, plan=of.plan if of else None)


def _check_unchanged(model: type, changes: Sequence[str]) -> None:
    """Raise OptionError for overrides, of the caller or of a folder of sentences: a class has no spec to change."""
    if changes:
        given = ", ".join(changes)
        raise OptionError(f"{model.__qualname__} is written by hand, and has no spec for {given} to change")


def _stated_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """What the config says, else what most bytes of the checkpoint are stored in."""
    stated = str(checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype"))
    if stated in DTYPES:
        return DTYPES[stated]
    sizes = dict.fromkeys(DTYPES.values(), 0)
    for stored in checkpoint.tensors.values():
        if stored.dtype in sizes:
            sizes[stored.dtype] += stored.nbytes
    return max(sizes, key=lambda dtype: sizes[dtype])


def _check_room(assembled: Assembled, *, device: torch.device, dtype: torch.dtype) -> None:
    """Raise OptionError when the parameters need more memory than is free, before any of it is taken."""
    needed, free = sum(p.numel() for p in assembled.module.parameters()) * dtype.itemsize, free_bytes(device)
    if free is not None and needed > free:
        sizes = f"{needed / 2**30:,.1f} GiB of parameters in {dtype}, and {free / 2**30:,.1f} GiB are free on {device}"
        raise OptionError(f"{assembled.name} has {sizes}; a smaller dtype or another device may do")


def _check_takes_text(assembled: Assembled) -> None:
    if isinstance(assembled.module, Tower):
        raise SpecError(f"{assembled.name} is a tower: it makes rows for a language model, and no text by itself")


def _fetched(folder: str | os.PathLike[str]) -> Path:
    """The folder itself, or where the hub's files lie once fetched. Raises CheckpointError when there is neither."""
    path = Path(folder)
    if not path.exists() and str(folder) in spec_files():
        raise CheckpointError(
            f"{folder} is a spec, and no such folder is here; random_init (--random-init) tries a spec"
        )
    if path.is_dir() or not _is_hub_id(str(folder)):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(folder), allow_patterns=[*HUB_FILES]))
    except Exception as error:  # no network, no such model, no right to it, no room on the disk, ...
        raise CheckpointError(f"{folder}: no such folder, and the hub does not give it: {error}") from error


def _is_hub_id(name: str) -> bool:
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and not name.startswith((".", "~")) and "\\" not in name


def _device(device: torch.device | str) -> torch.device:
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise OptionError(f"{device!r} is no device; cpu or cuda, say", path="device") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise OptionError("there is no CUDA device here; use cpu", path="device")
    return found


def _dtype(dtype: Dtype) -> torch.dtype | None:
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise OptionError(f"{dtype!r} is none that models run in{suggest(dtype, DTYPES)}", path="dtype")
        return DTYPES[dtype]
    return dtype
