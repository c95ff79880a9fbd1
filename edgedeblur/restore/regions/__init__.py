"""Which part of a picture is restored."""
