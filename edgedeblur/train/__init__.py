"""Adversarial training of a generator, and the loop it shares with distillation."""
