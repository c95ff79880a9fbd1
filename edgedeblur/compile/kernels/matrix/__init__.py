"""Convolutions by registers that hold matrices: pixels by products, and products by output channels."""
