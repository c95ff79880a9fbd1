"""Machine code read and followed: what a kernel executes."""
