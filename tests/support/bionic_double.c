/* bionic_double.c: loads an Android library as its loader does before API 29 on a phone with pages of 16 KiB, and restores
 * an image with it. musl's functions stand in for bionic's (their layouts are compared when the library is compiled), and
 * __errno for what musl names otherwise. It is no bionic: it shows that the library loads and computes, not more.
 *
 * bionic_double LIBRARY THREADS < image.rgb > restored.rgb
 * bionic_double --program PROGRAM WORDS...      begins a program where the kernel and the loader would */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "edgedeblur.h"

enum { PAGE = 16384, MAX_BYTES = 64 << 20 };

extern const struct { const char *name; void *address; } double_symbols[]; /* what this bionic exports; made by the test */

int *__errno(void) { return &errno; }

_Noreturn void __libc_init(void *arguments, void (*unused)(void), int (*program)(int, char **, char **), void *structors) {
  (void)unused, (void)structors;
  const long count = *(long *)arguments;
  char **words = (char **)arguments + 1;
  exit(program((int)count, words, words + count + 1));
}

static _Noreturn void fail(const char *what, unsigned long number) {
  fprintf(stderr, "bionic_double: %s %lu\n", what, number);
  exit(2);
}

static unsigned char file[MAX_BYTES];
static unsigned char *base;
static unsigned char pages[MAX_BYTES / PAGE]; /* protection of each, + 1 */
static const Elf64_Sym *symbols;
static const char *strings;
static size_t symbol_count;

static void *of_bionic(const char *name) {
  for (size_t i = 0; double_symbols[i].name != NULL; i++) {
    if (strcmp(double_symbols[i].name, name) == 0) return double_symbols[i].address;
  }
  fprintf(stderr, "bionic_double: cannot locate symbol \"%s\"\n", name); /* as Android's loader says it */
  exit(2);
}

static void *of_library(const char *name) {
  for (size_t i = 1; i < symbol_count; i++) {
    if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, name) == 0)
      return base + symbols[i].st_value;
  }
  fail("the library lacks a function of edgedeblur.h", 0);
}

static void map(const Elf64_Phdr *segment) {
  if (segment->p_align % PAGE != 0) fail("a segment is aligned to", segment->p_align);
  if ((segment->p_offset - segment->p_vaddr) % PAGE != 0) fail("a segment's offset is", segment->p_offset);
  const int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
  for (size_t page = segment->p_vaddr / PAGE; page <= (segment->p_vaddr + segment->p_memsz - 1) / PAGE; page++) {
    if (pages[page] != 0) fail("two segments share page", page);
    pages[page] = (unsigned char)(protection + 1);
  }
  memcpy(base + segment->p_vaddr, file + segment->p_offset, segment->p_filesz);
}

static void relocate(const Elf64_Rela *entries, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof *entries; i++) {
    const Elf64_Sym *symbol = &symbols[ELF64_R_SYM(entries[i].r_info)];
    void **where = (void **)(base + entries[i].r_offset);
    switch (ELF64_R_TYPE(entries[i].r_info)) {
      case R_AARCH64_RELATIVE: *where = base + entries[i].r_addend; break;
      case R_AARCH64_ABS64:
      case R_AARCH64_GLOB_DAT:
      case R_AARCH64_JUMP_SLOT: {
        unsigned char *address =
            symbol->st_shndx != SHN_UNDEF ? base + symbol->st_value : of_bionic(strings + symbol->st_name);
        *where = address + entries[i].r_addend;
        break;
      }
      default: fail("unknown relocation", ELF64_R_TYPE(entries[i].r_info));
    }
  }
}

static void protect(const Elf64_Phdr *relro) {
  for (size_t page = 0; page < MAX_BYTES / PAGE; page++) {
    if (pages[page] != 0 && mprotect(base + page * PAGE, PAGE, pages[page] - 1) != 0) fail("mprotect", page);
  }
  if (relro == NULL) return;
  const size_t start = relro->p_vaddr / PAGE * PAGE, end = (relro->p_vaddr + relro->p_memsz + PAGE - 1) / PAGE * PAGE;
  if (mprotect(base + start, end - start, PROT_READ) != 0) fail("mprotect", start); /* whole pages, as bionic */
}

/* The library's or program's entry point. */
static void *load(const char *path) {
  FILE *stream = fopen(path, "rb");
  if (stream == NULL || fread(file, 1, MAX_BYTES, stream) < sizeof(Elf64_Ehdr)) fail("no library", 0);
  fclose(stream);
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
  const Elf64_Phdr *segments = (const Elf64_Phdr *)(file + header->e_phoff), *relro = NULL;
  base = mmap(NULL, MAX_BYTES + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  base = (unsigned char *)(((size_t)base + PAGE - 1) / PAGE * PAGE);
  size_t value[64] = {0};
  for (int i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type == PT_LOAD) map(&segments[i]);
    if (segments[i].p_type == PT_TLS) fail("thread-local segment", i);
    if (segments[i].p_type == PT_GNU_RELRO) relro = &segments[i];
  }
  for (int i = 0; i < header->e_phnum; i++) {
    const Elf64_Dyn *entry = (const Elf64_Dyn *)(base + segments[i].p_vaddr);
    for (; segments[i].p_type == PT_DYNAMIC && entry->d_tag != DT_NULL; entry++) {
      if (entry->d_tag < 64) value[entry->d_tag] = entry->d_un.d_val;
      if (entry->d_tag == DT_TEXTREL || entry->d_tag == 36) fail("dynamic entry", entry->d_tag); /* 36: DT_RELR */
    }
  }
  symbols = (const Elf64_Sym *)(base + value[DT_SYMTAB]);
  strings = (const char *)(base + value[DT_STRTAB]);
  symbol_count = ((const unsigned *)(base + value[DT_HASH]))[1];
  relocate((const Elf64_Rela *)(base + value[DT_RELA]), value[DT_RELASZ]);
  relocate((const Elf64_Rela *)(base + value[DT_JMPREL]), value[DT_PLTRELSZ]);
  protect(relro);
  void (**start)(void) = (void (**)(void))(base + value[DT_INIT_ARRAY]);
  for (size_t i = 0; i < value[DT_INIT_ARRAYSZ] / sizeof *start; i++) start[i]();
  return base + header->e_entry;
}

/* As the kernel begins a program: the stack pointer at the number of words, then the words, NULL, the environment, NULL. */
static _Noreturn void begin(void *entry, int count, char **words) {
  static _Alignas(16) uintptr_t stack[(1 << 20) / sizeof(uintptr_t)];
  uintptr_t *top = stack + sizeof stack / sizeof *stack - 512;
  if (count > 400) fail("arguments", count);
  top[0] = (uintptr_t)count;
  for (int i = 0; i < count; i++) top[1 + i] = (uintptr_t)words[i];
  __asm__ volatile("mov sp, %0\nbr %1" ::"r"(top), "r"(entry) : "memory");
  __builtin_unreachable();
}

int main(int count, char **words) {
  if (count > 2 && strcmp(words[1], "--program") == 0) begin(load(words[2]), count - 2, words + 2);
  if (count != 3) fail("arguments", count);
  load(words[1]);
  ed_model *(*create)(const ed_options *) = of_library("ed_create");
  int (*run)(ed_model *, const uint8_t *, uint8_t *) = of_library("ed_run");
  void (*destroy)(ed_model *) = of_library("ed_destroy");
  const char *(*last_error)(void) = of_library("ed_last_error");
  int (*height)(void) = of_library("ed_height"), (*width)(void) = of_library("ed_width");
  const char *(*isa)(void) = of_library("ed_isa");
  if (create(&(ed_options){.threads = 99}) != NULL) fail("threads allowed:", 99);
  fprintf(stderr, "%s\n%s\n", last_error(), isa());
  const size_t bytes = (size_t)height() * (size_t)width() * 3;
  uint8_t *in = malloc(bytes), *out = malloc(bytes);
  if (in == NULL || out == NULL || fread(in, 1, bytes, stdin) != bytes) fail("image bytes needed:", bytes);
  for (int round = 0; round < 3; round++) { /* new threads each time, so their variables are made and freed */
    ed_model *model = create(&(ed_options){.threads = atoi(words[2])});
    if (model == NULL || run(model, in, out) != 0) {
      fprintf(stderr, "%s\n", last_error());
      return 1;
    }
    destroy(model);
  }
  return fwrite(out, 1, bytes, stdout) == bytes ? 0 : 1;
}
