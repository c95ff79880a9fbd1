/* crt0.c: where a program for Android begins, linked without an NDK: bionic is given main and does the rest. Facts of
 * AOSP's libc/arch-common/bionic/crtbegin.c and crtbrand.S: by the time of _start the loader has run the constructors of
 * .init_array; the note tells it the API level. No destructors. */
#include <stddef.h>

typedef struct {
  void (**preinit_array)(void);
  void (**init_array)(void);
  void (**fini_array)(void);
  size_t counts[3]; /* of static programs only */
} structors;

extern _Noreturn void __libc_init(void *arguments, void (*unused)(void), int (*program)(int, char **, char **),
                                  const structors *);
extern int main();

__attribute__((used)) static void start(void *arguments) {
  static const structors none;
  __libc_init(arguments, NULL, (int (*)(int, char **, char **))main, &none);
}

__asm__(".text\n.globl _start\n.type _start, %function\n_start:\n"
        "mov x29, #0\nmov x30, #0\nmov x0, sp\nb start\n.size _start, .-_start\n"
        ".section .note.android.ident, \"a\", %note\n.balign 4\n"
        ".long 8, 4, 1\n.asciz \"Android\"\n.long " ED_ANDROID_API "\n");
