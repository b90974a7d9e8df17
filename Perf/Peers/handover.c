// How far apart two processors are: nanoseconds for a cache line to go from CPU 0 to CPU 1 and back, halved. On a virtual machine
// that changes from moment to moment, as its processors share a core, a cache or nothing with each other, and with it the
// rate at which anything passes between two guests' threads and a switch's.
//
//   handover     one line: the median of several short stretches
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { STRETCHES = 31, TURNS = 2000 };
static _Alignas(128) atomic_uint line;

static void run_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static void *answer(void *unused) {
  (void)unused;
  run_on(1);
  for (unsigned turn = 1; turn < 2 * STRETCHES * TURNS; turn += 2) {
    while (atomic_load_explicit(&line, memory_order_acquire) != turn) {}
    atomic_store_explicit(&line, turn + 1, memory_order_release);
  }
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

int main(void) {
  pthread_t other;
  if (pthread_create(&other, NULL, answer, NULL)) return 1;
  run_on(0);
  double times[STRETCHES];
  unsigned turn = 0;
  for (int stretch = 0; stretch < STRETCHES; stretch++) {
    double began = now();
    for (int i = 0; i < TURNS; i++) {
      atomic_store_explicit(&line, turn + 1, memory_order_release);
      while (atomic_load_explicit(&line, memory_order_acquire) != turn + 2) {}
      turn += 2;
    }
    times[stretch] = (now() - began) / TURNS / 2;
  }
  pthread_join(other, NULL);
  qsort(times, STRETCHES, sizeof *times, by_value);
  printf("%.1f\n", times[STRETCHES / 2]);
  return 0;
}
