"""A user's own network to a student: a graph (torch_graph.py, onnx_graph.py), read operator by operator
(operators.py), folded into convolutions (values.py, layers.py), checked (importer.py)."""
