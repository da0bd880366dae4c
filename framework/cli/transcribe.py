"""`triptych transcribe`: files of speech -> what is said in them, as text, subtitles or JSON."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json
from triptych.cli.progress import counting, loading
from triptych.cli.where import add_where, where_of

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterator

    from triptych.tasks.model import Model
    from triptych.tasks.transcript import Segment, Transcript

FORMATS = ("text", "srt", "vtt", "json")
TIMED = ("srt", "vtt")  # nothing without times


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("transcribe", help="write down what is said in files of sound")
    parser.add_argument("model", metavar="MODEL", help="a checkpoint folder, or a hub id")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a WAVE file; others with 'triptych[audio]'")
    parser.add_argument("--language", metavar="CODE", help="what is spoken, en say (default: found out where need be)")
    parser.add_argument(
        "--task", choices=("transcribe", "translate"), default="transcribe", help="translate: to English"
    )
    parser.add_argument("--timestamps", action="store_true", help="when each segment begins and ends")
    parser.add_argument("--format", choices=FORMATS, default="text", help="srt and vtt are subtitles (default text)")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what was said before, or words to expect")
    parser.add_argument(
        "--temperature", action="append", type=float, metavar="T", help="0 (default) takes the likeliest; repeatable"
    )
    again = "the next temperature is tried for a clip that"
    parser.add_argument(
        "--compression-ratio-threshold", type=float, metavar="R", help=f"{again} zlib makes R times shorter"
    )
    parser.add_argument("--logprob-threshold", type=float, metavar="L", help=f"{again} has a lower mean logprob")
    parser.add_argument(
        "--no-speech-threshold", type=float, metavar="P", help="no text for such a clip that is likelier silent than P"
    )
    parser.add_argument(
        "--condition-on-previous-text", action="store_true", help="write each clip down after the text before it"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="draw the same tokens every time")
    add_where(parser)
    parser.add_argument("--max-batch", type=int, default=8, metavar="N", help="clips at a time (default 8)")
    parser.set_defaults(run=lambda args: _checked(parser, args))


def _checked(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.format in TIMED and len(args.files) > 1:
        parser.error(f"--format {args.format} takes one FILE: its times are those of one sound")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Write down each file; one that cannot be read is told, and the others are written down all the same."""
    from triptych.errors import InputError
    from triptych.tasks import load

    with loading(f"loading {args.model}") as progress:
        model = load(args.model, **where_of(args), progress=progress)
    status = 0
    for file in args.files:
        try:
            found = _transcribed(model, file, args)
        except InputError as error:
            if any(problem.path != file for problem in error.problems):
                raise
            print(error, file=sys.stderr)
            status = 1
        else:
            _print(found, args, file)
    return status


def _transcribed(model: Model, file: str, args: argparse.Namespace) -> Transcript:
    with counting(f"transcribing {file}") as progress:
        return model.transcribe(
            file,
            language=args.language,
            task=args.task,
            timestamps=args.timestamps or args.format in TIMED,
            prompt=args.prompt,
            temperature=args.temperature or 0.0,
            compression_ratio_threshold=args.compression_ratio_threshold,
            logprob_threshold=args.logprob_threshold,
            no_speech_threshold=args.no_speech_threshold,
            condition_on_previous_text=args.condition_on_previous_text,
            seed=args.seed,
            max_batch=args.max_batch,
            progress=progress,
        )


def _print(found: Transcript, args: argparse.Namespace, file: str) -> None:
    if args.format == "json":
        print_json({"file": file, **_as_json(found, with_segments=args.timestamps)})
        return
    lines = {"text": _text, "srt": _srt, "vtt": _vtt}[args.format](found)
    if args.format == "text" and len(args.files) > 1:
        print(f"{file}:")
    print("\n".join(lines))
    sys.stdout.flush()


def _as_json(found: Transcript, *, with_segments: bool) -> dict[str, object]:
    told: dict[str, object] = {"text": found.text, "language": found.language, "duration": found.duration}
    if with_segments:
        told["segments"] = [{"start": s.start, "end": s.end, "text": s.text} for s in found.segments]
    return told


def _text(found: Transcript) -> Iterator[str]:
    """A line for all, or one for each segment."""
    if not found.segments:
        yield found.text
    for each in found.segments:
        yield f"[{clock(each.start)} - {clock(each.end)}] {each.text}"


def _srt(found: Transcript) -> Iterator[str]:
    for number, each in enumerate(found.segments, 1):
        yield f"{number}\n{_span(each, point=',')}\n{each.text}\n"


def _vtt(found: Transcript) -> Iterator[str]:
    yield "WEBVTT\n"
    for each in found.segments:
        yield f"{_span(each, point='.')}\n{each.text}\n"


def _span(segment: Segment, *, point: str) -> str:
    return f"{clock(segment.start, point=point)} --> {clock(segment.end, point=point)}"


def clock(seconds: float, *, point: str = ".") -> str:
    """Seconds as hours, minutes, seconds and thousandths."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    minutes, last = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{last:02}{point}{thousandths:03}"
