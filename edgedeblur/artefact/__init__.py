"""What an artefact is: its target, its manifest, and reading one; without TVM."""
