"""The format `.onnx`: a graph of the whole classifier, written, checked and run."""
