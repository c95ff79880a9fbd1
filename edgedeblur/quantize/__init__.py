"""Int8 networks: observe activations, decide scales, fold weights; the network as data and its integer interpreter."""
