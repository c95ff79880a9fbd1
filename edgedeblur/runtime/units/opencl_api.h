/* opencl_api.h: what this runtime uses of OpenCL 1.2, by declarations of its own, so that no header and no library is
 * needed where it is built. Types, constants and signatures: Khronos' OpenCL API specification. */
#ifndef EDGEDEBLUR_OPENCL_API_H
#define EDGEDEBLUR_OPENCL_API_H

#include <stddef.h>
#include <stdint.h>

typedef void *cl_handle; /* every object of OpenCL is a pointer */
typedef int32_t cl_status;

enum { CL_SUCCESS = 0, CL_BUILD_PROGRAM_FAILURE = -11 };
enum { CL_DEVICE_TYPE_GPU = 1 << 2 };
#define CL_DEVICE_TYPE_ALL UINT64_C(0xFFFFFFFF)
enum { CL_DEVICE_TYPE = 0x1000, CL_DEVICE_NAME = 0x102B, CL_DRIVER_VERSION = 0x102D, CL_DEVICE_VERSION = 0x102F };
enum { CL_MEM_READ_WRITE = 1 << 0, CL_MEM_READ_ONLY = 1 << 2, CL_MEM_ALLOC_HOST_PTR = 1 << 4, CL_MEM_COPY_HOST_PTR = 1 << 5 };
enum { CL_MAP_READ = 1 << 0, CL_MAP_WRITE = 1 << 1 };
enum { CL_PROGRAM_BUILD_LOG = 0x1183 };

/* X(result, name, parameters) of every function that is used. */
#define ED_OPENCL_FUNCTIONS(X)                                                                                         \
  X(cl_status, clGetPlatformIDs, (uint32_t, cl_handle *, uint32_t *))                                                  \
  X(cl_status, clGetDeviceIDs, (cl_handle, uint64_t, uint32_t, cl_handle *, uint32_t *))                               \
  X(cl_status, clGetDeviceInfo, (cl_handle, uint32_t, size_t, void *, size_t *))                                       \
  X(cl_handle, clCreateContext, (const intptr_t *, uint32_t, const cl_handle *, void *, void *, cl_status *))          \
  X(cl_handle, clCreateCommandQueue, (cl_handle, cl_handle, uint64_t, cl_status *))                                    \
  X(cl_handle, clCreateProgramWithSource, (cl_handle, uint32_t, const char **, const size_t *, cl_status *))           \
  X(cl_handle, clCreateProgramWithBinary, (cl_handle, uint32_t, const cl_handle *, const size_t *, const uint8_t **,   \
                                           cl_status *, cl_status *))                                                  \
  X(cl_status, clGetProgramInfo, (cl_handle, uint32_t, size_t, void *, size_t *))                                      \
  X(cl_status, clBuildProgram, (cl_handle, uint32_t, const cl_handle *, const char *, void *, void *))                 \
  X(cl_status, clGetProgramBuildInfo, (cl_handle, cl_handle, uint32_t, size_t, void *, size_t *))                      \
  X(cl_handle, clCreateKernel, (cl_handle, const char *, cl_status *))                                                 \
  X(cl_handle, clCreateBuffer, (cl_handle, uint64_t, size_t, void *, cl_status *))                                     \
  X(cl_status, clSetKernelArg, (cl_handle, uint32_t, size_t, const void *))                                            \
  X(cl_status, clEnqueueNDRangeKernel, (cl_handle, cl_handle, uint32_t, const size_t *, const size_t *, const size_t *, \
                                        uint32_t, const cl_handle *, cl_handle *))                                     \
  X(void *, clEnqueueMapBuffer, (cl_handle, cl_handle, uint32_t, uint64_t, size_t, size_t, uint32_t,                   \
                                 const cl_handle *, cl_handle *, cl_status *))                                         \
  X(cl_status, clEnqueueUnmapMemObject, (cl_handle, cl_handle, void *, uint32_t, const cl_handle *, cl_handle *))      \
  X(cl_status, clFinish, (cl_handle))                                                                                  \
  X(cl_status, clReleaseKernel, (cl_handle))                                                                           \
  X(cl_status, clReleaseProgram, (cl_handle))                                                                          \
  X(cl_status, clReleaseMemObject, (cl_handle))                                                                        \
  X(cl_status, clReleaseCommandQueue, (cl_handle))                                                                     \
  X(cl_status, clReleaseContext, (cl_handle))

typedef struct {
#define X(result, name, parameters) result(*name) parameters;
  ED_OPENCL_FUNCTIONS(X)
#undef X
} ed_opencl_api;

/* Loads OpenCL's library: this one, or where NULL the system's. 0, or -1 with an error. It is not unloaded again: a
 * driver may leave threads behind. */
int ed_opencl_load(const char *library, ed_opencl_api *api);

#endif
