"""Several processes that do one run together, as `torchrun` starts them: the first alone writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from time import sleep
from typing import TYPE_CHECKING

from triptych.errors import TriptychError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]  # in no list of what it exports

BEGUN, ENDED = "begun", "ended"  # what one of them tells the others
APART = timedelta(minutes=5)  # how long after another a process may come
OFTEN, AWHILE = 0.2, 1.0  # seconds: between two looks at what is told, and for it to be heard


def several() -> bool:
    """Whether this process is one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not several() or int(os.environ.get("RANK", "0")) == 0


@contextmanager
def together() -> Iterator[None]:
    """A process that ends by an error in here ends the others, which would wait for it else.

    Raises TriptychError where this one cannot go on because another has ended, or is not found.
    """
    if not several():
        yield
        return
    store = _store()
    try:
        yield
    except BaseException as error:
        if not is_first():
            sleep(AWHILE)  # the first, whose end may be the cause, tells of it now
        ended = _why_ended(store)
        if ended and isinstance(error, Exception) and not isinstance(error, TriptychError):
            raise TriptychError(ended) from error
        if not ended:
            _tell(store, error)
        raise


def wait_for_all(*, cpu: bool) -> None:
    """Go on when every process has come this far. Raises TriptychError where the first has ended before."""
    if not several():
        return
    from accelerate import PartialState

    store = _store()
    if is_first():
        store.set(BEGUN, "")
    while not (ended := _why_ended(store)) and not store.check([BEGUN]):
        sleep(OFTEN)
    if ended:
        raise TriptychError(ended)
    PartialState(cpu=cpu).wait_for_everyone()


@cache
def _store() -> Store:
    """What the processes tell each other by: of the launcher, else of the first of them."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    host, port = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29500"))
    serves = is_first() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = TCPStore(host, port, is_master=serves, timeout=APART, wait_for_workers=False, multi_tenant=True)
    except RuntimeError as error:
        raise TriptychError(f"the processes do not meet at {host}:{port}: {str(error).splitlines()[0]}") from error
    return PrefixStore(f"triptych/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _why_ended(store: Store) -> str | None:
    """Of another process that has, by an error."""
    try:
        return store.get(ENDED).decode() if store.check([ENDED]) else None
    except RuntimeError:  # it was the first's, and has ended with it
        return "the first of the processes has ended; what it says tells why"


def _tell(store: Store, error: BaseException) -> None:
    said = str(error) or type(error).__name__
    store.set(ENDED, f"process {os.environ.get('RANK', '0')} has ended: {said.splitlines()[0]}")
    sleep(AWHILE)  # the others read it before what tells it ends too
