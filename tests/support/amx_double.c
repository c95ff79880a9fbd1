/* amx_double.c: executes AMX's instructions for a process on a processor without them, from a handler of SIGILL: those
 * of int8 and of tiles, by the Instruction Set Reference in Intel's manual (volume 2). Nothing else is trapped. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

static _Thread_local struct {
  int configured;
  uint8_t rows[TILES];
  uint16_t row_bytes[TILES];
  uint8_t data[TILES][ROWS][ROW_BYTES];
} tile;
static _Thread_local uint64_t executed;

/* Of this thread, since the last call. */
uint64_t amx_executed(void) {
  const uint64_t count = executed;
  executed = 0;
  return count;
}

static uint64_t reg(const ucontext_t *context, int number) {
  static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return (uint64_t)context->uc_mcontext.gregs[order[number]];
}

typedef struct {
  uint8_t *address; /* base and displacement */
  int64_t stride;   /* the index, scaled */
  int length;       /* bytes after the byte of ModRM */
} memory;

static int decode(const uint8_t *code, uint8_t vex, const ucontext_t *context, memory *at) {
  const int mod = code[0] >> 6, rm = code[0] & 7, x = !(vex & 0x40) * 8, b = !(vex & 0x20) * 8;
  int64_t displacement = 0;
  int base = rm + b, used = 1;
  at->stride = 0;
  if (rm == 4) {
    const int index = (code[1] >> 3 & 7) + x;
    base = (code[1] & 7) + b;
    if (index != 4) at->stride = (int64_t)reg(context, index) << (code[1] >> 6);
    used = 2;
  }
  if (mod == 0 && (base & 7) == 5) return -1; /* no base: kernels have no such address */
  if (mod == 1) displacement = (int8_t)code[used], used += 1;
  if (mod == 2) {
    int32_t wide;
    memcpy(&wide, code + used, 4);
    displacement = wide, used += 4;
  }
  at->address = (uint8_t *)reg(context, base) + displacement;
  at->length = used - 1;
  return 0;
}

static void configure(const uint8_t *table) {
  memset(&tile, 0, sizeof tile);
  tile.configured = table[0] == 1;
  for (int t = 0; t < TILES; t++) {
    memcpy(&tile.row_bytes[t], table + 16 + 2 * t, 2);
    tile.rows[t] = table[48 + t];
  }
}

static int multiply(int total, int left, int right, int left_signed, int right_signed) {
  const int rows = tile.rows[total], columns = tile.row_bytes[total] / 4, depth = tile.row_bytes[left] / 4;
  if (tile.rows[left] != rows || tile.rows[right] != depth || tile.row_bytes[right] / 4 != columns) return -1; /* #UD */
  for (int m = 0; m < rows; m++) {
    for (int n = 0; n < columns; n++) {
      int32_t sum;
      memcpy(&sum, &tile.data[total][m][4 * n], 4);
      for (int k = 0; k < 4 * depth; k++) {
        const uint8_t a = tile.data[left][m][k], b = tile.data[right][k / 4][4 * n + k % 4];
        sum += (left_signed ? (int8_t)a : a) * (right_signed ? (int8_t)b : b);
      }
      memcpy(&tile.data[total][m][4 * n], &sum, 4);
    }
  }
  return 0;
}

/* Executes one instruction; its length, or -1 where it is another one or would fail. */
static int execute(const uint8_t *code, const ucontext_t *context) {
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0) return -1; /* VEX.128.0F38.W0 */
  const int prefix = code[2] & 3, modrm = code[4], number = modrm >> 3 & 7, is_register = modrm >> 6 == 3;
  memory at = {0};
  if (!is_register && decode(code + 4, code[1], context, &at) != 0) return -1;
  if (code[3] == 0x49 && prefix == 0 && !is_register) return configure(at.address), 5 + at.length;
  if (code[3] == 0x49 && prefix == 0 && modrm == 0xc0) return memset(&tile, 0, sizeof tile), 5;
  if (!tile.configured) return -1;
  if (code[3] == 0x49 && prefix == 3 && is_register) return memset(tile.data[number], 0, sizeof tile.data[0]), 5;
  if (code[3] == 0x4b && prefix != 0 && !is_register) {
    for (int row = 0; row < tile.rows[number]; row++) {
      uint8_t *there = at.address + row * at.stride, *here = tile.data[number][row];
      if (prefix == 2) memcpy(there, here, tile.row_bytes[number]);
      else memcpy(here, there, tile.row_bytes[number]);
    }
    return 5 + at.length;
  }
  if (code[3] == 0x5e && is_register) { /* TDPB: UU, US, SU, SS by the prefix: none, 66, F3, F2 */
    const int right = ~(code[2] >> 3) & 15;
    return multiply(number, modrm & 7, right, prefix >= 2, prefix & 1) == 0 ? 5 : -1;
  }
  return -1;
}

static void trap(int signal_number, siginfo_t *info, void *state) {
  (void)info;
  ucontext_t *context = state;
  const int length = execute((const uint8_t *)context->uc_mcontext.gregs[REG_RIP], context);
  if (length < 0) {
    signal(signal_number, SIG_DFL); /* the instruction runs again and ends the process */
    return;
  }
  context->uc_mcontext.gregs[REG_RIP] += length;
  executed++;
}

int amx_begin(void) {
  struct sigaction action = {0};
  action.sa_sigaction = trap;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGILL, &action, NULL);
}
