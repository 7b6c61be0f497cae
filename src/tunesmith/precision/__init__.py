"""Precisions of frozen weights: how each is loaded, multiplied, dequantized and measured.

`formats` is the registry, one file per precision. Next to it lies what several of them use: casts and dequantization as
kernels, linear layers in 8 bits, matmul backends, and stochastic rounding of trained weights.
"""
