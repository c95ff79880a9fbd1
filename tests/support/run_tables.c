/* run_tables.c: runs the calls of a generated model.c one after another, in one thread, and writes the arena to a file.
 * Kernels are tried without the runtime: every call finds its inputs among the constants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tvm/ffi/c_api.h>
#include <tvm/runtime/c_backend_api.h>

#include "tables.h"

static int launch(FTVMParallelLambda body, void *data, int tasks) {
  TVMParallelGroupEnv group = {.num_task = 1};
  (void)tasks;
  return body(0, &group, data);
}

static void *allocate(int type, int id, uint64_t bytes, int code, int bits) {
  (void)type, (void)id, (void)code, (void)bits;
  void *block = NULL;
  if (posix_memalign(&block, ED_ALIGNMENT, bytes) != 0) return NULL;
  return memset(block, 0xA5, bytes); /* nothing may rely on cleared memory */
}

static int release(int type, int id, void *block) {
  (void)type, (void)id;
  free(block);
  return 0;
}

int (*__TVMBackendParallelLaunch)(FTVMParallelLambda, void *, int) = launch;
void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = allocate;
int (*__TVMBackendFreeWorkspace)(int, int, void *) = release;

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  fprintf(stderr, "%s: ", kind);
  for (int32_t i = 0; i < count; i++) fprintf(stderr, "%s", parts[i]);
  fprintf(stderr, "\n");
}

static int run(const ed_tables *tables, const ed_call *call, uint8_t *arena) {
  DLTensor tensors[8] = {0};
  TVMFFIAny arguments[8] = {0}, result = {0};
  for (uint32_t i = 0; i < call->operand_count; i++) {
    const ed_operand *operand = &tables->operands[call->operand + i];
    uint8_t *place = operand->place == ED_ARENA ? arena : (uint8_t *)tables->constants;
    tensors[i].data = place + operand->offset;
    tensors[i].device.device_type = kDLCPU;
    tensors[i].ndim = operand->dimensions;
    tensors[i].dtype = (DLDataType){operand->type_code, operand->bits, 1};
    tensors[i].shape = (int64_t *)&tables->shapes[operand->shape];
    arguments[i].type_index = kTVMFFIDLTensorPtr;
    arguments[i].v_ptr = &tensors[i];
  }
  return call->kernel(NULL, arguments, (int32_t)call->operand_count, &result);
}

int main(int count, char **words) {
  const ed_tables *tables = ed_model_tables;
  uint8_t *arena = allocate(0, 0, tables->arena_bytes, 0, 0);
  if (count != 2 || arena == NULL) return 2;
  for (uint32_t i = 0; i < tables->call_count; i++) {
    if (run(tables, &tables->calls[i], arena) != 0) return 1;
  }
  FILE *out = fopen(words[1], "wb");
  if (out == NULL || fwrite(arena, 1, tables->arena_bytes, out) != tables->arena_bytes) return 2;
  return fclose(out) == 0 ? 0 : 2;
}
