"""Restoring images of any size with any model: open, tile, deblur, evaluate."""
