"""What goes wrong, when a test says so."""

from dataclasses import dataclass, field
from typing import Literal

Auth = Literal["none", "accept", "ask"]


@dataclass
class Faults:
    """Switches that a test sets while the stand-in runs. Those that end a connection work once."""

    refuse: bool = False
    """A connection is hung up at once: nothing listens."""
    silent: bool = False
    """A connection is taken, and a greeting never answered: offline."""
    auth: Auth = "none"
    """`accept`: the owner accepts the dialog at once; `ask`: the dialog stays until a test accepts."""
    cut_after_bytes: int | None = None
    """The cable is pulled when the phone has got so many bytes more."""
    cut_before: str | None = None
    """The cable is pulled when a service with this text in it is asked for."""
    cut_after: str | None = None
    """The same, once the command has ended, before its exit code is told."""
    cut_output_after: int | None = None
    """A command's output stops in the middle, and its stream ends as if it were done."""
    drop_exit: bool = False
    """A command's stream ends without the exit code."""
    keep_partial: bool = False
    """Unlike adbd, a file that was not pushed whole stays."""
    asked: list[str] = field(default_factory=list)
    """Every service that a host asked for, in order."""

    def take(self, switch: str) -> bool:
        """Whether a switch is on; it is off afterwards."""
        on = bool(getattr(self, switch))
        setattr(self, switch, False if isinstance(getattr(self, switch), bool) else None)
        return on
