"""What lies on the disk: names of temporaries, locks, caches, and why a write fails."""
