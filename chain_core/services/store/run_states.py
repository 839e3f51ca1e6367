"""What a control, and what a worker's end, makes of a run. Pure.

queued -> running -> finished | failed           stop: stopping -> stopped
   ^        |                                    cancel: stopping (or at once) -> cancelled
   +-- pausing -> paused, and back with resume   retry: failed, stopped, cancelled -> queued
"""

from __future__ import annotations

CONTROLS = ("stop", "pause", "resume", "cancel", "retry")

AFTER_CONTROL: dict[tuple[str, str], tuple[str, str]] = {
    ("queued", "stop"): ("queued", "stop"),
    ("queued", "pause"): ("paused", ""),
    ("queued", "resume"): ("queued", ""),
    ("queued", "cancel"): ("cancelled", ""),
    ("running", "stop"): ("stopping", "stop"),
    ("running", "pause"): ("pausing", "pause"),
    ("running", "cancel"): ("stopping", "cancel"),
    ("stopping", "cancel"): ("stopping", "cancel"),
    ("pausing", "stop"): ("stopping", "stop"),
    ("pausing", "resume"): ("running", ""),
    ("pausing", "cancel"): ("stopping", "cancel"),
    ("paused", "stop"): ("queued", "stop"),
    ("paused", "resume"): ("queued", ""),
    ("paused", "cancel"): ("cancelled", ""),
    ("failed", "retry"): ("queued", ""),
    ("stopped", "retry"): ("queued", ""),
    ("cancelled", "retry"): ("queued", ""),
}
"""(state, control) -> new state, and what the worker is to read. Any other pair changes nothing: the button was
pressed in a tab that did not know better. A stop of what waits lets a worker report on what was trained so far."""

_NEVER_BEGUN = {("queued", "stop"): ("stopped", ""), ("paused", "stop"): ("stopped", "")}
"""The same where no worker was ever at it: there is nothing to report."""

_AFTER_END = {
    ("paused", ""): ("queued", ""),  # the pause was taken back, or it was the server's wish
    ("paused", "stop"): ("queued", "stop"),
    ("paused", "cancel"): ("cancelled", ""),
    ("failed", "cancel"): ("cancelled", ""),
}
_AFTER_RELEASE = {"": ("queued", ""), "stop": ("queued", "stop"), "pause": ("paused", ""), "cancel": ("cancelled", "")}
AFTER_CLAIM = {"": "running", "stop": "stopping"}
"""What a queued run is to read -> its state once it was taken."""


def apply_control(state: str, control: str, asked: str, begun: bool) -> tuple[str, str]:
    """State and what the worker is to read, after `control` meets a run that is in `state`, is asked to do `asked`,
    and was taken from the queue before or not (`begun`)."""
    found = AFTER_CONTROL.get((state, control), (state, asked))
    return found if begun else _NEVER_BEGUN.get((state, control), found)


def apply_end(said: str, asked: str) -> tuple[str, str]:
    """State and what a worker is to read, after one said that it ended as `said` and was `asked` to do something."""
    return _AFTER_END.get((said, asked), (said, ""))


def apply_release(asked: str) -> tuple[str, str]:
    """The same after the worker went away without a word."""
    return _AFTER_RELEASE[asked]
