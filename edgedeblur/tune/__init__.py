"""Schedule search: which schedules there are, what each costs on the device, which one is kept."""
