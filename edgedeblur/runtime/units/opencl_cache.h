/* opencl_cache.h: what a driver has made of the kernels' text, kept in a folder, so that it need not compile it again. */
#ifndef EDGEDEBLUR_OPENCL_CACHE_H
#define EDGEDEBLUR_OPENCL_CACHE_H

#include "opencl_api.h"

enum { ED_CACHE_PATH_BYTES = 1024 };

/* The file for a program in a folder: its name is the digest of the text, the compiler's options, the device and the
 * version of its driver. -1 where the path is too long; no error is kept. */
int ed_cache_path(const char *folder, const char *const *described, int count, char path[ED_CACHE_PATH_BYTES]);

/* The program of that file, not yet built; NULL where there is none, it is damaged, or the driver does not take it. */
cl_handle ed_cache_load(const ed_opencl_api *cl, cl_handle context, cl_handle device, const char *path);

/* Writes a program that is built, whole or not at all. A folder that cannot be written is left as it is. */
void ed_cache_store(const ed_opencl_api *cl, cl_handle program, const char *path);

#endif
