"""The ladder of proofs that a spec climbs."""

from triptych.check.ladder import check_spec as check_spec
from triptych.spec.rungs import RUNGS as RUNGS
from triptych.spec.rungs import Report as Report
from triptych.spec.rungs import Rung as Rung
