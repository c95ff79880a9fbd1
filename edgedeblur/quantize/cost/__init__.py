"""What int8 costs, and why: which layers, how much hangs on the calibration pictures, what brings it below a bound."""
