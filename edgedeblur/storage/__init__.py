"""Reading files that somebody else wrote: within bounds, and every failure one message with the file's name."""
