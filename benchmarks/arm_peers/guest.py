"""Restores one image some times with a runtime, on one thread: what runs inside the simulated ARM machine.

python3 guest.py RUNTIME MODEL IMAGE.npy RESTORED.npy RUNS
"""

import sys

import numpy as np


def onnxruntime(path, image):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return lambda: session.run(None, {source: image})[0]


def litert(path, image):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run():
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return run


def mnn(path, image):
    import _tools
    import MNN

    converted = path + ".mnn"
    words = ["mnnconvert", "-f", "TFLITE", "--modelFile", path, "--MNNModel", converted, "--bizCode", "none"]
    _tools.mnnconvert(words)  # not MNN's command line, which installs a package and reports each use to its makers
    interpreter = MNN.Interpreter(converted)
    session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    source, result = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)
    layout = MNN.Tensor_DimensionType_Tensorflow
    restored = np.zeros(result.getShape(), np.uint8)

    def run():
        source.copyFrom(MNN.Tensor(source.getShape(), source.getDataType(), image, layout))
        interpreter.runSession(session)
        host = MNN.Tensor(result.getShape(), result.getDataType(), restored, layout)
        result.copyToHostTensor(host)
        return np.array(host.getNumpyData())

    return run


if __name__ == "__main__":
    runtime, model, source_file, restored_file, runs = sys.argv[1:]
    restore = {"onnxruntime": onnxruntime, "litert": litert, "mnn": mnn}[runtime](model, np.load(source_file)[None])
    for _ in range(int(runs)):
        output = restore()
    np.save(restored_file, output[0])
