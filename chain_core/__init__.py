"""Chains: a pretrained backbone, a few small links, several task heads."""

import os

# torch's threads wait for each other at every product. By default they spin while they wait, and where another program
# wants the same cores a step then took five times as long; asleep they wait just as well. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
