"""Weights in 16, 8 and 4 bits: quantisation, casts, and the matrix products of each."""
