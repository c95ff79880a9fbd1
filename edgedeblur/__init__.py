"""edgedeblur: from a DeblurGAN-family generator to an int8 artefact on a phone."""

__version__ = "0.1.0"
