"""Measurement: latency, memory and quality of an artefact against its budget, and what is shown of it."""
