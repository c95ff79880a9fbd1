/* opencl_cache.c: files of a driver's binaries: a line that says what the file is, the SHA-256 of the rest, the rest. */
#include "opencl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sha256.h"

enum { MOST_BYTES = 64 << 20, MAGIC_BYTES = 16, HEAD_BYTES = MAGIC_BYTES + ED_SHA256_BYTES, NAME_DIGITS = 32 };
enum { CL_PROGRAM_BINARY_SIZES = 0x1165, CL_PROGRAM_BINARIES = 0x1166 };

static const char magic[MAGIC_BYTES + 1] = "edgedeblur cl 1\n";

int ed_cache_path(const char *folder, const char *const *described, int count, char path[ED_CACHE_PATH_BYTES]) {
  uint8_t digests[2 * ED_SHA256_BYTES] = {0}; /* of all before, and of one more */
  for (int i = 0; i < count; i++) {
    ed_sha256((const uint8_t *)described[i], strlen(described[i]), digests + ED_SHA256_BYTES);
    uint8_t both[ED_SHA256_BYTES];
    ed_sha256(digests, sizeof digests, both);
    memcpy(digests, both, sizeof both);
  }
  char name[NAME_DIGITS + 1];
  for (int i = 0; i < NAME_DIGITS / 2; i++) snprintf(name + 2 * i, 3, "%02x", digests[i]);
  const int length = snprintf(path, ED_CACHE_PATH_BYTES, "%s/edgedeblur-%s.cl-binary", folder, name);
  return length > 0 && length < ED_CACHE_PATH_BYTES - 32 ? 0 : -1; /* room for store's suffix */
}

/* The file's bytes after its head; NULL where it is not whole. The caller frees `*file`. */
static const uint8_t *read_file(const char *path, uint8_t **file, size_t *bytes) {
  FILE *stream = fopen(path, "rb");
  if (stream == NULL) return NULL;
  *file = malloc(MOST_BYTES);
  const size_t got = *file != NULL ? fread(*file, 1, MOST_BYTES, stream) : 0;
  fclose(stream);
  uint8_t digest[ED_SHA256_BYTES];
  if (got <= HEAD_BYTES || got == MOST_BYTES || memcmp(*file, magic, MAGIC_BYTES) != 0) return NULL;
  *bytes = got - HEAD_BYTES;
  ed_sha256(*file + HEAD_BYTES, *bytes, digest);
  return memcmp(*file + MAGIC_BYTES, digest, sizeof digest) == 0 ? *file + HEAD_BYTES : NULL;
}

cl_handle ed_cache_load(const ed_opencl_api *cl, cl_handle context, cl_handle device, const char *path) {
  uint8_t *file = NULL;
  size_t bytes = 0;
  const uint8_t *binary = read_file(path, &file, &bytes);
  cl_handle program = NULL;
  if (binary != NULL) {
    cl_status of_binary = CL_SUCCESS, status = CL_SUCCESS;
    program = cl->clCreateProgramWithBinary(context, 1, &device, &bytes, &binary, &of_binary, &status);
    if (program != NULL && (status != CL_SUCCESS || of_binary != CL_SUCCESS)) {
      cl->clReleaseProgram(program);
      program = NULL;
    }
  }
  free(file);
  return program;
}

/* 0 where everything was written. */
static int write_file(const char *path, const uint8_t *binary, size_t bytes) {
  FILE *stream = fopen(path, "wb");
  if (stream == NULL) return -1;
  uint8_t digest[ED_SHA256_BYTES];
  ed_sha256(binary, bytes, digest);
  const int whole = fwrite(magic, 1, MAGIC_BYTES, stream) == MAGIC_BYTES &&
                    fwrite(digest, 1, sizeof digest, stream) == sizeof digest &&
                    fwrite(binary, 1, bytes, stream) == bytes;
  return fclose(stream) == 0 && whole ? 0 : -1;
}

void ed_cache_store(const ed_opencl_api *cl, cl_handle program, const char *path) {
  size_t bytes = 0;
  if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS) return;
  if (bytes == 0 || bytes >= MOST_BYTES - HEAD_BYTES) return;
  uint8_t *binary = malloc(bytes);
  char next[ED_CACHE_PATH_BYTES];
  snprintf(next, sizeof next, "%s.%ld", path, (long)getpid());
  if (binary != NULL && cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS) {
    if (write_file(next, binary, bytes) != 0 || rename(next, path) != 0) remove(next);
  }
  free(binary);
}
