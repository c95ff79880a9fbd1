"""Latency from machine code, for processors that are not at hand."""
