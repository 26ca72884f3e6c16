"""The words of the one repair turn, and the error if it was in vain. The client sees neither turn's fault."""

from __future__ import annotations

from lib.errors import InvalidModelOutput
from lib.tools.drafts import Fault
from lib.tools.intercepted import DESTROYED
from lib.tools.toolbox import Toolbox


def words_for_fault(fault: Fault, box: Toolbox) -> str:
    unit = box.lesson.unit
    if fault is DESTROYED:
        return (
            f"The last action was not run: it did not arrive as a {unit}. Write it again, as plain text "
            f"in the answer, in this form:\n\n{box.lesson.example}\n\n{box.lesson.reminder}"
        ).strip()
    said = f"The last {unit} could not be run: {fault.words}. Write the {unit} again, complete."
    return f"{said}\n\n{box.lesson.reminder}".strip()


def words_for_silence(box: Toolbox, *, is_forced: bool) -> str:
    """Ask for a call that must be there, or for any answer."""
    said = "The last answer did not act." if is_forced else "The last answer was empty."
    return f"{said}\n\n{box.lesson.reminder}".strip()


def failure(fault: Fault | None, box: Toolbox) -> InvalidModelOutput:
    if fault is not None:
        return InvalidModelOutput(f"The model's call cannot be run, asked twice: {fault.words}.")
    if box.is_forced:
        return InvalidModelOutput("Expected a tool call, and the model made none, asked twice.")
    return InvalidModelOutput("The model gave neither an answer nor a call, asked twice.")
