"""The frame gate: what is wrong with a frame, and whether restoring it pays."""
