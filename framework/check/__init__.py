"""The ladder of proofs that a spec climbs."""

from triptych.check.ladder import RUNGS as RUNGS
from triptych.check.ladder import Report as Report
from triptych.check.ladder import Rung as Rung
from triptych.check.ladder import check_spec as check_spec
