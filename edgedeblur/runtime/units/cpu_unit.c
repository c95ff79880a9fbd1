/* cpu_unit.c: memory, threads and calls of the network on the processor's cores: walks the tables of model.c. */
#include "cpu_unit.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "error.h"
#include "edgedeblur.h"
#include "pool.h"
#include "self_test.h"

/* The network at one of its sizes. */
typedef struct {
  const ed_tables *tables;
  DLTensor *tensors;    /* one per operand, in the tables' order */
  TVMFFIAny *arguments; /* arguments[i] points to tensors[i] */
} network;

struct ed_cpu_unit {
  const ed_tables *tables; /* of the first size */
  ed_pool *pool;
  uint8_t *arena;
  network *networks; /* ed_model_sizes of them, which share the arena */
};

/* Sets of kernels by their bit: what the self-test said of them in this process. */
static atomic_uint proved, refused;

static unsigned bit(const ed_tables *tables) { return 1u << ((tables - ed_model_tables) / ed_model_sizes); }

const ed_tables *ed_cpu_tables(void) {
  const unsigned out = atomic_load(&refused);
  uint32_t i = 0;
  const uint32_t sets = ed_model_tables_count / ed_model_sizes;
  while (i + 1 < sets && ((out >> i & 1) || !ed_has_isa(ed_model_tables[i * ed_model_sizes].isa))) i++;
  return &ed_model_tables[i * ed_model_sizes];
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t ed_cpu_arena_bytes(const ed_tables *tables) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < ed_model_sizes; i++) bytes = larger(bytes, tables[i].arena_bytes);
  return bytes;
}

size_t ed_cpu_workspace_bytes(const ed_tables *tables) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < ed_model_sizes; i++) bytes = larger(bytes, tables[i].workspace_bytes);
  return bytes;
}

static void describe_operand(const ed_cpu_unit *unit, const network *network, uint32_t index) {
  const ed_operand *operand = &network->tables->operands[index];
  DLTensor *tensor = &network->tensors[index];
  tensor->device.device_type = kDLCPU;
  tensor->dtype = (DLDataType){operand->type_code, operand->bits, 1};
  tensor->ndim = operand->dimensions;
  tensor->shape = (int64_t *)&network->tables->shapes[operand->shape]; /* DLPack has no const; kernels only read it */
  if (operand->place == ED_ARENA) tensor->data = unit->arena + operand->offset;
  if (operand->place == ED_CONSTANT) tensor->data = (uint8_t *)network->tables->constants + operand->offset;
  network->arguments[index].type_index = kTVMFFIDLTensorPtr;
  network->arguments[index].v_ptr = tensor;
}

static int describe_network(const ed_cpu_unit *unit, network *network, const ed_tables *tables) {
  network->tables = tables;
  network->tensors = calloc(tables->operand_count, sizeof *network->tensors);
  network->arguments = calloc(tables->operand_count, sizeof *network->arguments);
  if (network->tensors == NULL || network->arguments == NULL) {
    return ed_fail("no memory for %u tensors", tables->operand_count);
  }
  for (uint32_t i = 0; i < tables->operand_count; i++) describe_operand(unit, network, i);
  return 0;
}

static int allocate(ed_cpu_unit *unit) {
  const size_t bytes = ed_cpu_arena_bytes(unit->tables);
  void *arena = NULL; /* one cache line more, so that none is no failure */
  if (posix_memalign(&arena, ED_ALIGNMENT, bytes + ED_ALIGNMENT) != 0) arena = NULL;
  unit->arena = arena;
  unit->networks = calloc(ed_model_sizes, sizeof *unit->networks);
  if (unit->arena == NULL || unit->networks == NULL) return ed_fail("no memory for an arena of %zu bytes", bytes);
  for (uint32_t i = 0; i < ed_model_sizes; i++) {
    if (describe_network(unit, &unit->networks[i], unit->tables + i) != 0) return -1;
  }
  return 0;
}

static int start(ed_cpu_unit *unit, int asked, uint64_t cores) {
  const ed_tables *tables = unit->tables;
  const int threads = asked == 0 ? tables->threads : asked;
  if (threads < 1 || threads > ED_MAX_THREADS) {
    return ed_fail("%d threads; allowed are 1 to %d", asked, (int)ED_MAX_THREADS);
  }
  if (allocate(unit) != 0) return -1;
  unit->pool = ed_pool_create(threads, ed_cpu_workspace_bytes(tables), cores);
  return unit->pool != NULL ? 0 : -1;
}

static ed_cpu_unit *create(const ed_tables *tables, int threads, uint64_t cores) {
  ed_cpu_unit *unit = calloc(1, sizeof *unit);
  if (unit == NULL) return ed_fail("no memory"), NULL;
  unit->tables = tables;
  if (start(unit, threads, cores) == 0) return unit;
  ed_cpu_destroy(unit);
  return NULL;
}

/* Leaves a message for ed_last_error() where better kernels are there whose instructions the system refuses. */
static void tell_refusal(const ed_tables *chosen) {
  for (const ed_tables *better = ed_model_tables; better < chosen; better += ed_model_sizes) {
    const int refusal = ed_refusal(better->isa);
    if (refusal == 0) continue;
    ed_fail("the system refuses this process the %s instructions (%s): it runs the %s kernels", ed_isa_name(better->isa),
            strerror(refusal), ed_isa_name(chosen->isa));
  }
}

ed_cpu_unit *ed_cpu_create(int threads, uint64_t cores) {
  for (;;) {
    const ed_tables *tables = ed_cpu_tables();
    if (ed_check_cpu(tables->isa) != 0) return NULL;
    ed_cpu_unit *unit = create(tables, threads, cores);
    if (unit == NULL) return NULL;
    const bool known = atomic_load(&proved) & bit(tables);
    if (known || ed_self_test(ed_cpu_run_image, unit, ed_isa_name(tables->isa), false) == 0) {
      atomic_fetch_or(&proved, bit(tables));
      tell_refusal(tables);
      return unit;
    }
    ed_cpu_destroy(unit);
    atomic_fetch_or(&refused, bit(tables));
    if (ed_cpu_tables() == tables) return NULL; /* there is no other set */
  }
}

static void set_images(const network *network, const uint8_t *rgb_in, uint8_t *rgb_out) {
  for (uint32_t i = 0; i < network->tables->operand_count; i++) {
    const uint8_t place = network->tables->operands[i].place;
    if (place == ED_INPUT) network->tensors[i].data = (uint8_t *)rgb_in; /* kernels only read it */
    if (place == ED_OUTPUT) network->tensors[i].data = rgb_out;
  }
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int run_calls(const network *network, double *layer_ms) {
  for (uint32_t i = 0; i < network->tables->call_count; i++) {
    const ed_call *call = &network->tables->calls[i];
    const double start_ms = layer_ms != NULL ? milliseconds() : 0.0;
    TVMFFIAny result = {0};
    if (call->kernel(NULL, &network->arguments[call->operand], (int32_t)call->operand_count, &result) != 0) return -1;
    if (layer_ms != NULL) layer_ms[call->layer] += milliseconds() - start_ms;
  }
  return 0;
}

int ed_cpu_run(ed_cpu_unit *unit, int size, const uint8_t *rgb_in, uint8_t *rgb_out, double *layer_ms) {
  const network *network = &unit->networks[size];
  set_images(network, rgb_in, rgb_out);
  ed_pool_enter(unit->pool);
  const int status = run_calls(network, layer_ms);
  ed_pool_leave();
  return status;
}

int ed_cpu_run_image(void *unit, const uint8_t *rgb_in, uint8_t *rgb_out) {
  return ed_cpu_run(unit, 0, rgb_in, rgb_out, NULL);
}

int ed_cpu_launch(ed_cpu_unit *unit, FTVMParallelLambda function, void *closure, int tasks) {
  ed_pool_enter(unit->pool);
  const int status = ed_pool_launch(function, closure, tasks);
  ed_pool_leave();
  return status;
}

int ed_cpu_threads(const ed_cpu_unit *unit) { return ed_pool_threads(unit->pool); }

const char *ed_cpu_name(const ed_cpu_unit *unit) { return ed_isa_name(unit->tables->isa); }

void ed_cpu_destroy(ed_cpu_unit *unit) {
  if (unit == NULL) return;
  ed_pool_destroy(unit->pool);
  for (uint32_t i = 0; unit->networks != NULL && i < ed_model_sizes; i++) {
    free(unit->networks[i].arguments);
    free(unit->networks[i].tensors);
  }
  free(unit->networks);
  free(unit->arena);
  free(unit);
}
