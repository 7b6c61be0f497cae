"""Attention over packed lines of tokens: short and long segments, and segments that share a prefix."""
