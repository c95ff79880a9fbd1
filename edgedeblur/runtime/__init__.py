"""The C runtime, bench program and public header of artefacts; the Python session that loads them."""
