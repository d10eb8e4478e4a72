"""What a test of one's own agent needs: a scripted model, recordings, faults, limits, a virtual clock, a leak check.

`docs/testing.md` shows how they go together.
"""

from agentrt.testing import faults
from agentrt.testing.inline import InlineThreads
from agentrt.testing.leaks import assert_no_leaks
from agentrt.testing.limits import Limited
from agentrt.testing.record import Recording
from agentrt.testing.replay import Replay, recorded
from agentrt.testing.script import ScriptedModel, call, reply
from agentrt.testing.transport import InMemoryTransport
from agentrt.testing.virtual import Deadlock, Runaway, VirtualLoop, run_virtual
from agentrt.testing.windows import Quota, Window

__all__ = [
    "Deadlock",
    "InMemoryTransport",
    "InlineThreads",
    "Limited",
    "Quota",
    "Recording",
    "Replay",
    "Runaway",
    "ScriptedModel",
    "VirtualLoop",
    "Window",
    "assert_no_leaks",
    "call",
    "faults",
    "recorded",
    "reply",
    "run_virtual",
]
