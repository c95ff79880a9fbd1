"""What a compiled kernel costs: its machine code, how often each part runs, and the cycles that each part takes."""
