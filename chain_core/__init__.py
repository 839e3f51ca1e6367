"""Chains: a pretrained backbone, a few small links, several task heads."""

import os

# torch's threads wait for each other at every product, by default by spinning 300,000 times before they sleep.
# Milliseconds a training step on 2 cores, quiet and beside one busy process: 300,000 spins 80 and 320, 5,000 spins 91
# and 224, none 113 and 117. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
