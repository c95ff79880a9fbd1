"""What the commands do, from file to file: one file per command."""
