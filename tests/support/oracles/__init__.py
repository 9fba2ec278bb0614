"""What our code is held against: the equations once more in plain floats, and TRL."""
