"""The models of blur."""
