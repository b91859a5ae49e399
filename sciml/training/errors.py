"""What can go wrong with a run; imported without torch."""


class RunError(RuntimeError):
    """A run directory cannot be written, read or resumed; the message says which file and what to do."""
