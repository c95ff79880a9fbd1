/* executed_blocks.c: a plugin for QEMU's user mode: how often each block of instructions of the simulated program ran,
 * into the file that the argument out=FILE names: a line for each translated block, its count and its instructions in
 * hexadecimal, as they lie in memory.
 *
 * Declares what it uses of QEMU's plugin interface, version 1 (QEMU 4.2 to 8.2), so that no header of QEMU is needed.
 * Counting is not atomic: for programs of which one thread works. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *value, uint64_t addend);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct block {
  struct block *next;
  uint64_t runs;
  size_t size;
  unsigned char code[];
};

static struct block *blocks;

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
  (void)id;
  size_t count = qemu_plugin_tb_n_insns(tb), size = 0;
  for (size_t i = 0; i < count; i++) size += qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
  struct block *block = calloc(1, sizeof *block + size);
  if (block == NULL) abort();
  for (size_t i = 0; i < count; i++) {
    const struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(tb, i);
    memcpy(block->code + block->size, qemu_plugin_insn_data(one), qemu_plugin_insn_size(one));
    block->size += qemu_plugin_insn_size(one);
  }
  qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->runs, 1);
  do {
    block->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
  } while (!__sync_bool_compare_and_swap(&blocks, block->next, block));
}

static const char *path;

static void ended(plugin_id id, void *unused) {
  (void)id, (void)unused;
  FILE *out = fopen(path, "w");
  if (out == NULL) return;
  for (const struct block *block = blocks; block != NULL; block = block->next) {
    if (block->runs == 0) continue;
    fprintf(out, "%" PRIu64 " ", block->runs);
    for (size_t i = 0; i < block->size; i++) fprintf(out, "%02x", block->code[i]);
    fputc('\n', out);
  }
  fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *information, int count, char **words) {
  (void)information;
  if (count != 1 || strncmp(words[0], "out=", 4) != 0) return -1;
  path = strdup(words[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
