"""A loaded model: generate, stream, logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from triptych.capabilities import PoolingTask, SpeechTask
from triptych.errors import CapabilityError, InputError, OptionError
from triptych.inputs.images import ImageInput
from triptych.inputs.media.sound_files import SoundInput
from triptych.inputs.processing import BaseMultiModalProcessor
from triptych.inputs.prompt import Prompt as ReadPrompt
from triptych.inputs.prompt import as_token_ids
from triptych.inputs.reader import PromptReader
from triptych.inputs.sentence import SentenceUse
from triptych.inputs.tokenizer import Tokenizer, end_ids
from triptych.kernels.choice import AUTO, Kernels, using
from triptych.runner.checks import check_prompts
from triptych.runner.event import Event
from triptych.runner.generate import generate
from triptych.runner.grammar import Grammars
from triptych.runner.options import SamplingOptions
from triptych.runner.pipe import Pipe
from triptych.runner.pool import pool, pool_tokens
from triptych.runner.reading import read_logits, read_prompts, step_of
from triptych.runner.request import Request, RunOptions
from triptych.runner.staged import Staged
from triptych.spec.conversion import labels_of
from triptych.tasks.completion import Completion, GenerateOptions, completed
from triptych.tasks.likelihood import Likelihood, as_answers, likelihoods
from triptych.tasks.pooling import Pooling
from triptych.tasks.prompts import Images, Prompt, Prompts, Sounds, Videos, is_single, paired, read_each
from triptych.tasks.score import Scorer, score
from triptych.tasks.transcript import Transcript
from triptych.weights import StageMissingLayer

# T tokens, V vocabulary, B prompts, D width


class Model:
    """A module with its config, its tokenizer and what else of its checkpoint folder a prompt needs.

    `processor` prepares items of prompts; None for a model that takes text only. Without a `folder` there is no chat
    template; without a tokenizer prompts are token ids, and answers have no text. `sentences` says how a text is
    embedded. `pipe` leads to the processes that have the other stages of the module. `kernels` says which ops run on
    Triton kernels.
    """

    def __init__(
        self,
        module: nn.Module,
        config: Mapping[str, Any],
        *,
        name: str = "",
        folder: Path | None = None,
        tokenizer: Tokenizer | None = None,
        processor: BaseMultiModalProcessor[Any] | None = None,
        sentences: SentenceUse | None = None,
        pipe: Pipe | None = None,
        kernels: Kernels = AUTO,
    ) -> None:
        self.module: Any = module  # where it is run it is typed by its structure, as TextGenerationModel
        self.runs: Any = module if pipe is None else Staged(module, pipe)  # what the runner takes
        self.config = dict(config)
        self.name, self.folder = name, folder
        self.tokenizer = tokenizer
        self.end_ids = end_ids(folder, config, tokenizer)
        self.sentences = sentences or SentenceUse()
        self.processor = processor
        written: Any = getattr(module, "get_placeholder_str", lambda *_: None)
        self._grammars = Grammars(tokenizer, vocab_size=getattr(module, "vocab_size", 0))
        taken = processor.info.get_supported_mm_limits() if processor is not None else ()
        targets = {modality: target for modality in taken if (target := written(modality, 1))}
        self._reader = PromptReader(folder, tokenizer, processor, targets)
        first = next(module.parameters())
        self.device, self.dtype, self.kernels = first.device, first.dtype, kernels

    def generate(
        self,
        prompts: Prompts,
        images: Images | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
        max_batch: int = 32,
        **options: Unpack[GenerateOptions],
    ) -> list[Completion]:
        """Answer each prompt, a text or token ids, all with the same options, `max_batch` of them at a time.

        A text is a user's turn where the checkpoint has a chat template, unless `raw`. `images` are an image or a list
        for one prompt, a list for each of several; `videos` likewise: files, arrays or lists of frames; and `sounds`:
        files, waveforms at the model's rate, or `(waveform, rate)`. Raises OptionError and InputError with all that is
        wrong, before anything runs; the first prompt that fails after that ends all with its error, which names it. An
        `Engine` goes on with the others.
        """
        requests = self.requests(prompts, images, videos=videos, sounds=sounds, raw=raw, **options)
        answers: list[list[Event]] = [[] for _ in requests]
        for event in self.run(requests, max_batch=max_batch, live=False):
            answers[event.request].append(event)
        pairs = zip(requests, answers, strict=True)
        return [completed(events, request.prompt.token_ids) for request, events in pairs]

    def stream(
        self,
        prompt: Prompt,
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Iterator[str]:
        """The text of the answer to one prompt as it comes; the pieces together are what `generate` gives as text."""
        if not is_single(prompt):
            raise InputError("stream takes one prompt, a text or token ids", path="prompt")
        requests = self.requests(prompt, images, videos=videos, sounds=sounds, raw=raw, **options)
        events = self.run(requests, max_batch=1, live=True)
        return (event.text for event in events if event.text)

    def embed(
        self, texts: Prompts, *, prompt: str | None = None, truncate: bool = False, max_batch: int = 32
    ) -> Tensor:
        """A row for each text (or list of token ids), [B, D], float32 on the model's device.

        `prompt` names what stands before a text where the checkpoint keeps such prompts. A text longer than the length
        that it keeps is cut there; `truncate` leaves out the end of what is longer than the model takes, too. Raises
        InputError, without it, for every such text, CapabilityError for a model that is not for embeddings.
        """
        read = self._pooling_for("embed", truncate).read(texts, prompt=prompt)
        return pool(self.runs, read, run=self._options(max_batch=max_batch))

    def classify(
        self,
        texts: Prompts,
        *,
        pairs: str | Sequence[str] | None = None,
        truncate: bool = False,
        max_batch: int = 32,
    ) -> Tensor:
        """The chance of each label for each text (or list of token ids), [B, labels], float32 on the model's device.

        `pairs` are the other texts of pairs, one for each; of a pair `truncate`, which is that of `embed`, shortens the
        longer text first. `labels` has their names in this order. A regression gives its numbers. Raises
        CapabilityError for a model that is no classifier.
        """
        read = self._pooling_for("classify", truncate).read(texts, pairs)
        return pool(self.runs, read, run=self._options(max_batch=max_batch))

    def token_embed(
        self, texts: Prompts, *, prompt: str | None = None, truncate: bool = False, max_batch: int = 32
    ) -> list[Tensor]:
        """The rows of the tokens of each text (or list of token ids), special ones among them: [T_i, D], float32.

        `prompt`, long texts and `truncate` as with `embed`. Raises CapabilityError for a model that was not loaded for
        this.
        """
        read = self._pooling_for("token_embed", truncate).read(texts, prompt=prompt)
        return pool_tokens(self.runs, read, run=self._options(max_batch=max_batch))

    def token_classify(self, texts: Prompts, *, truncate: bool = False, max_batch: int = 32) -> list[Tensor]:
        """The chance of each label for each token of each text, special ones among them: [T_i, labels], float32.

        `labels` has their names in this order; `truncate` as with `embed`. Raises CapabilityError for a model that was
        not loaded for this.
        """
        read = self._pooling_for("token_classify", truncate).read(texts)
        return pool_tokens(self.runs, read, run=self._options(max_batch=max_batch))

    def score(self, queries: Prompts, documents: Prompts, *, truncate: bool = False, max_batch: int = 32) -> Tensor:
        """How well each document answers its query, or the one query that there is: [B], float32.

        A classifier of one label reads both as one sequence and gives its number; a model for embeddings the cosine of
        the two; one for embeddings of tokens the sum, over the query's, of the best match among the document's. Which
        it is was decided when it was loaded. `truncate` as with `embed` and `classify`; what a chat template wrote is
        whole. Raises CapabilityError for a model that scores nothing.
        """
        return score(
            Scorer(replace(self.pooling, truncate=truncate)), queries, documents, run=self._options(max_batch=max_batch)
        )

    @property
    def pooling(self) -> Pooling:
        """The model as it pools."""
        return Pooling(self.runs, self.name, self._reader, self.sentences, kernels=self.kernels)

    def _pooling_for(self, task: PoolingTask, truncate: bool) -> Pooling:
        self.pooling.check(task)
        return replace(self.pooling, truncate=truncate)

    def likelihood(
        self,
        prompts: Prompts,
        answers: Prompts,
        images: Images | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
        max_batch: int = 32,
    ) -> list[Likelihood]:
        """How likely each answer, a text or token ids, is after its prompt. Prompts and items are those of `generate`.

        Raises InputError with all that is wrong, before anything runs.
        """
        self._check_writes()
        read, given = self.read_with_answers(prompts, answers, images, videos=videos, sounds=sounds, raw=raw)
        return likelihoods(self.runs, read, given, run=self._options(max_batch=max_batch))

    def read_with_answers(
        self,
        prompts: Prompts,
        answers: Prompts,
        images: Images | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
    ) -> tuple[list[ReadPrompt], list[tuple[int, ...]]]:
        """Prompts with their items, as `generate` reads them, and the token ids of an answer to each.

        Raises InputError with all that is wrong.
        """
        read = read_each(paired(prompts, images, video=videos, audio=sounds), partial(self._reader.read, raw=raw))
        return read, as_answers(answers, count=len(read), tokenizer=self.tokenizer)

    def transcribe(
        self,
        sound: SoundInput,
        *,
        language: str | None = None,
        task: SpeechTask = "transcribe",
        timestamps: bool = False,
        prompt: str = "",
        temperature: float | Sequence[float] = 0.0,
        compression_ratio_threshold: float | None = None,
        logprob_threshold: float | None = None,
        no_speech_threshold: float | None = None,
        condition_on_previous_text: bool = False,
        seed: int | None = None,
        max_batch: int = 8,
        progress: Callable[[int, int], None] | None = None,
    ) -> Transcript:
        """Write down (or `translate` to English) what is said in a sound: a file, a waveform, or that with its rate.

        `language` is the code of the one that is spoken; without it a model of several finds it out by the first clip.
        `prompt` is what was said before, or words that are to be expected. With `timestamps` there are segments. Of
        several temperatures the next is taken for a clip that zlib makes shorter by more than
        `compression_ratio_threshold`, or whose mean logprob is below `logprob_threshold`; one of the latter that the
        model finds silent with a probability above `no_speech_threshold` has no text. `seed` is of the draws. Longer
        sound is cut into clips where it is most quiet, `max_batch` of them at a time; with `condition_on_previous_text`
        one at a time, each after the text of those before it. `progress` is told how many of how many are done.

        Raises CapabilityError for a model that writes down no speech, or cannot do what is asked, InputError for a
        sound that cannot be read and for a language that the model does not know, OptionError for other options.
        """
        from triptych.tasks.fallback import Fallback
        from triptych.tasks.transcribe import Asked, transcribe

        asked = Asked.of(self, task=task, timestamps=timestamps)
        ratio, logprob = compression_ratio_threshold, logprob_threshold
        fallback = Fallback.of(temperature, ratio=ratio, logprob=logprob, silence=no_speech_threshold, seed=seed)
        if logprob is not None and isinstance(self.runs, Staged):
            raise CapabilityError("logprob_threshold is not known to every stage of a pipeline; leave it out")
        asked.check(hears_silence=no_speech_threshold is not None, in_turn=condition_on_previous_text)
        return transcribe(
            asked,
            sound,
            language=language,
            prompt=prompt,
            fallback=fallback,
            in_turn=condition_on_previous_text,
            max_batch=max_batch,
            progress=progress,
        )

    def read_items(self, prompt: str | Sequence[int], items: Mapping[str, object]) -> ReadPrompt:
        """A prompt as it is written, special tokens and all, with its items by modality, as `run` takes it.

        Raises InputError for what cannot be read.
        """
        return self._reader.read_items(prompt, items)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of a classifier's labels, as its config has them."""
        return labels_of(self.config)

    @torch.inference_mode()
    def logits(
        self,
        token_ids: Sequence[int],
        images: ImageInput | Sequence[ImageInput] | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
    ) -> Tensor:
        """The logits [T, V] of every position of one prompt, float32; placeholders of items count as their rows.

        Raises InputError for what is no prompt of token ids, and as `generate` does.
        """
        self._check_writes()
        if isinstance(token_ids, str) or not (given := as_token_ids(token_ids)):
            raise InputError("token ids are needed, at least one", path="prompt")
        ((ids, items),) = paired(given, images, video=videos, audio=sounds)
        prompt = self._reader.read(ids, items)
        check_prompts(self.module, [prompt])
        step = step_of([prompt], device=self.device)
        with using(self.kernels):
            hidden_TD = read_prompts(self.runs, [prompt], step, run=self._options(max_batch=1))
            return read_logits(self.runs, hidden_TD).float()

    def requests(
        self,
        prompts: Prompts,
        images: Images | None = None,
        *,
        videos: Videos | None = None,
        sounds: Sounds | None = None,
        raw: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> list[Request]:
        """What `generate` runs for these arguments. Raises InputError that names every prompt with a mistake."""
        self._check_writes()
        asked = SamplingOptions.of(**options)
        if asked.stop and self.tokenizer is None:
            raise OptionError("stop strings need a tokenizer, and this model has none; use stop_token_ids", path="stop")
        grammar = self._grammars.of(asked)
        read = partial(self._reader.read, raw=raw)
        given = paired(prompts, images, video=videos, audio=sounds)
        found = [Request(prompt, asked, grammar) for prompt in read_each(given, read)]
        return self.runs.seeded(found) if isinstance(self.runs, Staged) else found

    def _check_writes(self) -> None:
        if isinstance(self._language_model(), StageMissingLayer):
            lost = "was loaded without its language model, so it writes no text: encoder_only is set"
            raise CapabilityError(f"{self.name} {lost}")
        if not hasattr(self.module, "compute_logits"):
            raise CapabilityError(f"{self.name} has no head: it writes no text; embed() gives a row for each text")

    def _language_model(self) -> object:
        return self.module.get_language_model() if self.processor is not None else self.module

    def run(self, requests: Sequence[Request], *, max_batch: int, live: bool = False) -> Iterator[Event]:
        """The answers to requests that were made for this model, as they come. Raises what `generate` does."""
        run = self._options(max_batch=max_batch)
        if isinstance(self.runs, Staged):
            run = self.runs.agreed(run)
        return generate(self.runs, requests, run=run, tokenizer=self.tokenizer, end_ids=self.end_ids, live=live)

    def _options(self, *, max_batch: int) -> RunOptions:
        return RunOptions(device=self.device, dtype=self.dtype, max_batch=max_batch, kernels=self.kernels)
