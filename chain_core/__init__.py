"""Chains: a pretrained backbone, a few small links, several task heads."""

import os

# torch's threads wait for each other at every product. By default they spin 300,000 times before they sleep, and where
# another program wants the same cores a step then took five times as long; not spinning at all costs a third on a quiet
# machine. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
