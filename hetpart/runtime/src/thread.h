/* Small things that differ between machines: the clock, the pause of a spinning thread, and the cores it may use. */
#ifndef HP_THREAD_H
#define HP_THREAD_H

#include "error.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { SPIN_ROUNDS = 1000 }; /* some 20-40 us: about what waking a sleeping thread costs on a phone */

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static inline uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Restrict the calling thread, and those it will start, to the cores whose bits are set; 0 leaves it as it is. */
static inline hp_code pin_thread(uint64_t cores, hp_error *error)
{
    if (cores == 0) {
        return HP_OK;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned core = 0; core < 64; core++) {
        if (cores >> core & 1) {
            CPU_SET(core, &set);
        }
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        return hp_fail(error, HP_THREAD, "cannot pin a thread to the cores in mask 0x%llx: %s",
                       (unsigned long long)cores, strerror(errno));
    }
    return HP_OK;
}

#endif
