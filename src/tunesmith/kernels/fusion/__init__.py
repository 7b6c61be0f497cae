"""Decoder layers as a few functions with hand-written gradients, and how a model's layers are replaced by them."""
