"""Checkpoint names -> modules, filled once."""

from triptych.weights.checkpoint import Checkpoint as Checkpoint
from triptych.weights.checkpoint import Stored as Stored
from triptych.weights.checkpoint import read_json as read_json
from triptych.weights.fill import fill as fill
from triptych.weights.matching import Matching as Matching
from triptych.weights.matching import check as check
from triptych.weights.matching import match as match
from triptych.weights.matching import unused_rows as unused_rows
from triptych.weights.random import fill_random as fill_random
from triptych.weights.table import Table as Table
from triptych.weights.table import tables as tables
