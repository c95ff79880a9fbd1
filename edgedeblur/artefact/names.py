"""Names of the files of an artefact."""

MODEL_C = "model.c"
CONSTANTS = "constants.bin"
GPU_C = "gpu.c"
GPU_TEXT = "kernels.cl"  # OpenCL C, which the driver compiles
CUDA_TEXT = "kernels.cu"
CUDA_PTX = "kernels.ptx"  # made of it, for the driver
GPU_REFERENCE = "gpu_reference.bin"  # of the float16 form: the self-test's image in float32, uint8 [height, width, 3]
GPU_CONSTANTS = "gpu_constants.bin"
NETWORK = "network.edq"
MANIFEST = "manifest.json"
BENCH = "edgedeblur-bench"
LIBRARY = "libedgedeblur_model.so"
HEADER = "edgedeblur.h"
OBJECT = "model.o"
ANDROID_LIBRARY = f"jniLibs/arm64-v8a/{LIBRARY}"  # where an app's build looks for it
AAR = "edgedeblur.aar"  # the same, for an app's Gradle build
ANDROID_FOLDER = "android"
RUNTIME_FOLDER = "runtime"
INCLUDE_FOLDER = "include"
CMAKE_LISTS = "CMakeLists.txt"
