"""What one does with a model: load it, generate with it, read its logits."""

from triptych.tasks.completion import Completion as Completion
from triptych.tasks.engine import Answering as Answering
from triptych.tasks.engine import Engine as Engine
from triptych.tasks.likelihood import Likelihood as Likelihood
from triptych.tasks.load import load as load
from triptych.tasks.load import random_init as random_init
from triptych.tasks.model import Model as Model
from triptych.tasks.transcript import Segment as Segment
from triptych.tasks.transcript import Transcript as Transcript
