"""A text spoken into a WAVE file: python tools/speech.py OUT TEXT.

The voice is eSpeak NG's, whose library and data the PyPI package `espeakng-loader` brings.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import wave
from importlib import import_module
from pathlib import Path
from typing import Any

RETRIEVED = 1  # samples are handed back, not played
UTF8 = 1
Listener = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("text", help="what to say")
    args = parser.parse_args()
    try:
        speak(args.text, args.out)
    except ImportError as error:
        print(f"{error}; pip install espeakng-loader", file=sys.stderr)
        return 1
    return 0


def speak(text: str, out: Path) -> Path:
    """Write a text as spoken English, one channel of 16 bits at the voice's own rate."""
    voice: Any = import_module("espeakng_loader")
    library: Any = ctypes.CDLL(voice.get_library_path())
    rate = library.espeak_Initialize(RETRIEVED, 0, voice.get_data_path().encode(), 0)
    heard = bytearray()

    def listen(samples: Any, count: int, events: object) -> int:  # noqa: ARG001
        if samples and count:
            heard.extend(ctypes.string_at(samples, 2 * count))
        return 0

    listener = Listener(listen)  # kept while it is called
    library.espeak_SetSynthCallback(listener)
    library.espeak_SetVoiceByName(b"en-us")
    said = text.encode()
    library.espeak_Synth(said, len(said) + 1, 0, 0, 0, UTF8, None, None)
    library.espeak_Synchronize()
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(heard))
    return out


if __name__ == "__main__":
    sys.exit(main())
