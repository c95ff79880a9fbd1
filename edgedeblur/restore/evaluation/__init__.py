"""Restored pictures against sharp ones."""
