"""Photographs, pairs and frames, and the blur that makes training pairs out of them."""
