"""Distillation: a small student learns from a teacher's output and features, and from sharp images."""
