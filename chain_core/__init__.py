"""Chains: a pretrained backbone, a few small links, several task heads."""
