"""The quantised network for other runtimes: ONNX and TFLite."""
