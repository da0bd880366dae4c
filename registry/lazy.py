"""Classes by name, `module:Class`: checked as text, imported when needed."""

from __future__ import annotations

from triptych.errors import PluginError, short
from triptych.registry.entries import Entry


def target_fault(target: str) -> str:
    """What keeps a text from naming a class as `module:Class`; '' when nothing does."""
    module, _, name = target.partition(":")
    if target.count(":") != 1:
        return f"'module:Class' with exactly one colon is wanted, not {short(target)}"
    if not all(step.isidentifier() for step in (*module.split("."), *name.split("."))):
        return f"'module:Class' in dotted names is wanted, not {short(target)}"
    return ""


def load_class(target: str, *, architecture: str, distribution: str = "") -> type:
    """Import the class `module:Class` that serves an architecture.

    Raises PluginError when it cannot be imported, with the cause chained, and when it is no class.
    """
    offered_by = distribution or "register_model"
    if fault := target_fault(target):
        raise PluginError(f"{architecture} (from {offered_by}): {fault}")
    found = Entry(architecture, target, offered_by).load()
    if not isinstance(found, type):
        raise PluginError(f"{architecture} ({target}, from {offered_by}) is no class: {short(found)}")
    return found
