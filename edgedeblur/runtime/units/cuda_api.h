/* cuda_api.h: what this runtime uses of CUDA's driver, by declarations of its own, so that no header and no library is
 * needed where it is built. Types, constants and signatures: NVIDIA's CUDA Driver API reference. */
#ifndef EDGEDEBLUR_CUDA_API_H
#define EDGEDEBLUR_CUDA_API_H

#include <stddef.h>
#include <stdint.h>

typedef void *cu_handle; /* contexts, modules, functions and streams are pointers */
typedef uint64_t cu_memory; /* an address of the device */
typedef int cu_device;
typedef int cu_status;
typedef unsigned int cu_uint;

enum { CUDA_SUCCESS = 0 };
enum { CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76 };
enum { CU_JIT_ERROR_LOG_BUFFER = 5, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6 };
enum { CU_STREAM_NON_BLOCKING = 1 };

/* X(result, name, parameters) of every function that is used. */
#define ED_CUDA_FUNCTIONS(X)                                                                        \
  X(cu_status, cuInit, (cu_uint))                                                                   \
  X(cu_status, cuDriverGetVersion, (int *))                                                         \
  X(cu_status, cuGetErrorName, (cu_status, const char **))                                          \
  X(cu_status, cuDeviceGetCount, (int *))                                                           \
  X(cu_status, cuDeviceGet, (cu_device *, int))                                                     \
  X(cu_status, cuDeviceGetName, (char *, int, cu_device))                                           \
  X(cu_status, cuDeviceGetAttribute, (int *, int, cu_device))                                       \
  X(cu_status, cuDevicePrimaryCtxRetain, (cu_handle *, cu_device))                                  \
  X(cu_status, cuDevicePrimaryCtxRelease_v2, (cu_device))                                           \
  X(cu_status, cuCtxPushCurrent_v2, (cu_handle))                                                    \
  X(cu_status, cuCtxPopCurrent_v2, (cu_handle *))                                                   \
  X(cu_status, cuModuleLoadDataEx, (cu_handle *, const void *, cu_uint, int *, void **))            \
  X(cu_status, cuModuleUnload, (cu_handle))                                                         \
  X(cu_status, cuModuleGetFunction, (cu_handle *, cu_handle, const char *))                         \
  X(cu_status, cuMemAlloc_v2, (cu_memory *, size_t))                                                \
  X(cu_status, cuMemFree_v2, (cu_memory))                                                           \
  X(cu_status, cuMemAllocHost_v2, (void **, size_t))                                                \
  X(cu_status, cuMemFreeHost, (void *))                                                             \
  X(cu_status, cuMemcpyHtoD_v2, (cu_memory, const void *, size_t))                                  \
  X(cu_status, cuMemcpyHtoDAsync_v2, (cu_memory, const void *, size_t, cu_handle))                  \
  X(cu_status, cuMemcpyDtoHAsync_v2, (void *, cu_memory, size_t, cu_handle))                        \
  X(cu_status, cuStreamCreate, (cu_handle *, cu_uint))                                              \
  X(cu_status, cuStreamDestroy_v2, (cu_handle))                                                     \
  X(cu_status, cuStreamSynchronize, (cu_handle))                                                    \
  X(cu_status, cuLaunchKernel, (cu_handle, cu_uint, cu_uint, cu_uint, cu_uint, cu_uint, cu_uint, cu_uint, \
                                cu_handle, void **, void **))

typedef struct {
#define X(result, name, parameters) result(*name) parameters;
  ED_CUDA_FUNCTIONS(X)
#undef X
} ed_cuda_api;

/* Loads the driver's library: this one, or where NULL the system's. 0, or -1 with an error. It is not unloaded again: a
 * driver may leave threads behind. */
int ed_cuda_load(const char *library, ed_cuda_api *api);

#endif
