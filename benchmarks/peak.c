/* Fused multiply-adds a second of the thread that runs this, in the widest vectors: independent chains in registers.
   Prints GFLOP/s (a multiply-add is two) of the fastest of several tries, in CPU time. */
#include <stdio.h>
#include <time.h>

enum { CHAINS = 12, TRIES = 7 };

#if defined(__AVX512F__)
#define LANES 16
#define FMA(c) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(c) : "v"(a), "v"(b))
#elif defined(__FMA__)
#define LANES 8
#define FMA(c) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(c) : "x"(a), "x"(b))
#elif defined(__aarch64__)
#define LANES 4
#define FMA(c) __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(c) : "w"(a), "w"(b))
#else
#error "no fused multiply-add"
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void)
{
    vec a, b, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11;
    for (int i = 0; i < LANES; i++) {
        a[i] = 1.0001f, b[i] = 0.9999f;
    }
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = c8 = c9 = c10 = c11 = a;
    const long steps = 4000000;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double start = now();
        for (long k = 0; k < steps; k++) {
            FMA(c0); FMA(c1); FMA(c2); FMA(c3); FMA(c4); FMA(c5);
            FMA(c6); FMA(c7); FMA(c8); FMA(c9); FMA(c10); FMA(c11);
        }
        double rate = 2.0 * LANES * CHAINS * (double)steps / (now() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    printf("%.2f\n", best);
    return 0;
}
