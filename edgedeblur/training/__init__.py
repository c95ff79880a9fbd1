"""The loop that adversarial training and distillation share."""
