"""The `edgedeblur` commands: parse, call one function, print."""
