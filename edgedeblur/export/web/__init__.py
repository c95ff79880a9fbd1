"""The network as a web page."""
