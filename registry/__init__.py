"""Names to things: parts and specs, registered by decorator or entry point and imported only when asked for."""

if __name__ != "triptych.registry":
    raise ImportError(f"import triptych.registry, not {__name__}")

from triptych.registry.part_targets import KINDS as KINDS
from triptych.registry.parts import Part as Part
from triptych.registry.parts import get_part as get_part
from triptych.registry.parts import part as part
from triptych.registry.parts import part_names as part_names
from triptych.registry.parts import part_troubles as part_troubles
from triptych.registry.specs import SpecFolder as SpecFolder
from triptych.registry.specs import get_spec_file as get_spec_file
from triptych.registry.specs import register_spec_folder as register_spec_folder
from triptych.registry.specs import spec_files as spec_files
from triptych.registry.specs import spec_troubles as spec_troubles
