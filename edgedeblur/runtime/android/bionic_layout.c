/* bionic_layout.c: no code: stops the compiler where a structure or number in the headers that it has (musl's, which zig
 * brings) is not that of bionic, Android's C library, on arm64. The numbers are facts of AOSP's bionic, read in March
 * 2025 (commit 731631f3) in the file that each group names under libc/include. What differs between the two (bionic_symbols.toml,
 * `differs`) is not here: the library may not use it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define SAME(what, bionics) _Static_assert((what) == (bionics), #what " is not bionic's " #bionics)
/* The library makes these, bionic fills them: as large, and aligned at least as much (musl aligns some of them more). */
#define LAYOUT(type, bytes, alignment) \
  SAME(sizeof(type), bytes); \
  _Static_assert(_Alignof(type) >= (alignment), #type " is aligned less than bionic's")

/* bits/pthread_types.h */
LAYOUT(pthread_t, 8, 8);
LAYOUT(pthread_attr_t, 56, 8);
LAYOUT(pthread_mutex_t, 40, 4);
LAYOUT(pthread_cond_t, 48, 4);
LAYOUT(pthread_key_t, 4, 4);
LAYOUT(pthread_once_t, 4, 4);
LAYOUT(pthread_barrier_t, 32, 8);
LAYOUT(pthread_rwlock_t, 56, 4);

/* pthread.h */
SAME(PTHREAD_MUTEX_NORMAL, 0);
SAME(PTHREAD_MUTEX_RECURSIVE, 1);
SAME(PTHREAD_CREATE_JOINABLE, 0);
SAME(PTHREAD_CREATE_DETACHED, 1);
SAME(PTHREAD_ONCE_INIT, 0);

/* sched.h */
LAYOUT(cpu_set_t, 128, 8);
SAME(CPU_SETSIZE, 1024);

/* bits/timespec.h, time.h: the kernel's clocks */
LAYOUT(struct timespec, 16, 8);
SAME(offsetof(struct timespec, tv_nsec), 8);
LAYOUT(time_t, 8, 8);
SAME(CLOCK_REALTIME, 0);
SAME(CLOCK_MONOTONIC, 1);
SAME(CLOCK_PROCESS_CPUTIME_ID, 2);
SAME(CLOCK_THREAD_CPUTIME_ID, 3);

/* sys/stat.h, sys/types.h, dirent.h */
LAYOUT(struct stat, 128, 8);
SAME(offsetof(struct stat, st_mode), 16);
SAME(offsetof(struct stat, st_size), 48);
SAME(offsetof(struct stat, st_mtim), 88);
LAYOUT(off_t, 8, 8);
LAYOUT(mode_t, 4, 4);
SAME(offsetof(struct dirent, d_name), 19);

/* getopt.h */
LAYOUT(struct option, 32, 8);
SAME(offsetof(struct option, val), 24);
SAME(no_argument, 0);
SAME(required_argument, 1);

/* linux/resource.h: musl's has room for more behind it */
SAME(offsetof(struct rusage, ru_maxrss), 32);
SAME(RUSAGE_SELF, 0);

/* dlfcn.h */
LAYOUT(Dl_info, 32, 8);
SAME(RTLD_LOCAL, 0);
SAME(RTLD_LAZY, 1);
SAME(RTLD_NOW, 2);
SAME(RTLD_GLOBAL, 0x100);

/* stdio.h */
SAME(EOF, -1);
SAME(SEEK_SET, 0);
SAME(SEEK_CUR, 1);
SAME(SEEK_END, 2);

/* The kernel's own numbers, which bionic takes from its headers: asm-generic/errno*.h, asm/fcntl.h, linux/auxvec.h, ... */
SAME(ENOENT, 2);
SAME(EINTR, 4);
SAME(EAGAIN, 11);
SAME(ENOMEM, 12);
SAME(EBUSY, 16);
SAME(EEXIST, 17);
SAME(EINVAL, 22);
SAME(ETIMEDOUT, 110);
SAME(O_RDONLY, 0);
SAME(O_WRONLY, 1);
SAME(O_CREAT, 0100);
SAME(O_TRUNC, 01000);
SAME(O_CLOEXEC, 02000000);
SAME(PROT_READ | PROT_WRITE, 3);
SAME(MAP_PRIVATE, 2);
SAME(MAP_ANONYMOUS, 0x20);
SAME(AT_HWCAP, 16);
SAME(AT_HWCAP2, 26);
SAME(PR_SET_NAME, 15);
SAME(SIGINT, 2);
SAME(SIGTERM, 15);
