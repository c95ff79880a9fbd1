/* count_instructions.c: a plugin for QEMU's user mode: how many instructions the simulated program executed, into the
 * file that the argument out=FILE names.
 *
 * Declares what it uses of QEMU's plugin interface, version 1 (QEMU 4.2 to 8.2), so that no header of QEMU is needed.
 * Counting is not atomic: for programs of one thread. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *value, uint64_t addend);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

static uint64_t executed;

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static const char *path;

static void ended(plugin_id id, void *unused) {
  (void)id, (void)unused;
  FILE *out = fopen(path, "w");
  if (out == NULL) return;
  fprintf(out, "%" PRIu64 "\n", executed);
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
