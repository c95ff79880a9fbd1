"""The models of blur on a GPU."""
