"""Prompt updates: what each item of a modality changes in the token ids of a prompt."""

from triptych.inputs.updates.applying import apply_prompt_updates as apply_prompt_updates
from triptych.inputs.updates.codec import TextCodec as TextCodec
from triptych.inputs.updates.counts import check_counts as check_counts
from triptych.inputs.updates.details import PromptUpdateDetails as PromptUpdateDetails
from triptych.inputs.updates.placed import AppliedUpdates as AppliedUpdates
from triptych.inputs.updates.placed import PlaceholderFeaturesInfo as PlaceholderFeaturesInfo
from triptych.inputs.updates.targets import PromptIndex as PromptIndex
from triptych.inputs.updates.targets import PromptIndexTargets as PromptIndexTargets
from triptych.inputs.updates.update import ItemUpdates as ItemUpdates
from triptych.inputs.updates.update import PromptInsertion as PromptInsertion
from triptych.inputs.updates.update import PromptReplacement as PromptReplacement
from triptych.inputs.updates.update import PromptUpdate as PromptUpdate
from triptych.inputs.updates.update import ResolvedPromptUpdate as ResolvedPromptUpdate
from triptych.inputs.updates.update import UpdateMode as UpdateMode
from triptych.inputs.updates.update import bind_updates as bind_updates
