"""A vocabulary of Mistral's, of 131,072 tokens, has the ids of its makers' library."""

from __future__ import annotations

import json
import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from triptych.inputs.tokenizer import load_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("mistral_common") is None, reason="no mistral_common: pip install --no-deps mistral-common"
    ),
]
ROOT = Path(__file__).resolve().parent.parent.parent
TEXTS = (
    *(
        "Hello, world! It's 12345.678 o'clock.",
        "  two  spaces\t\tand tabs \r\n\r\n and lines\n\n\n",
        "Ünïcödé ßtraße ǅ e\u0301",
    ),
    *(
        "日本語のテキスト。한국어 ภาษาไทย",
        "مرحبا بالعالم שלום",
        "🙂👩‍👩‍👧 ok",
        "https://x.y/z?a=b&c=d",
        "\x00\x01\x7f",
        "a" * 200,
    ),
)


SHIPPED = "tekken_240911.json"  # that of Pixtral 12B; its special tokens are known and do not stand in it


@pytest.fixture(scope="module", params=["as it is", "with names of special tokens"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that the library ships, and as newer files are."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    spec = find_spec("mistral_common")
    assert spec is not None
    assert spec.origin is not None
    given = json.loads((Path(spec.origin).parent / "data" / SHIPPED).read_text("utf-8"))
    if request.param != "as it is":
        given["config"]["version"] = "v7"
        names = [str(getattr(t["token_str"], "value", t["token_str"])) for t in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
        given["special_tokens"] = [{"rank": n, "token_str": t, "is_control": True} for n, t in enumerate(names)]
    made: Path = tmp_path_factory.mktemp("tekken") / "tekken.json"
    made.write_text(json.dumps(given | {"image": None}), encoding="utf-8")
    return made


def texts() -> list[str]:
    draw, found = random.Random(0), [*TEXTS]
    found += [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    for _ in range(150):
        found.append("".join(chr(draw.choice((draw.randrange(128), draw.randrange(0xD800)))) for _ in range(20)))
        found.append("".join(text[draw.randrange(4) : draw.randrange(4, 12)] for text in draw.choices(TEXTS, k=6)))
    return found


def test_ids_and_texts_are_those_of_the_makers_library(file: Path) -> None:
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    theirs, ours = Tekkenizer.from_file(file), load_tokenizer(file.parent)
    assert ours is not None
    for text in texts():
        ids = theirs.encode(text, bos=False, eos=False)
        if not any(text.count(name) for name in ("<s>", "</s>", "<unk>", "<pad>", "<SPECIAL_")):
            assert ours.encode_bare(text) == ids
            assert ours.encode(text) == theirs.encode(text, bos=True, eos=False)
            assert ours.decode(ids) == theirs.decode(ids)
    each: Any = range(1000, theirs.n_words)
    assert all(ours.decode([token]) == theirs.decode([token]) for token in each)
