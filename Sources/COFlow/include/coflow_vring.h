// What a device does to memory that it shares with a driver which may write it at any moment: loads and stores that the
// compiler makes exactly once and in order (virtio 1.2 §2.7.13, §2.8.23), prefetches, and a copy that small frames need
// no call for. Pointers are into guest memory and were bounds-checked by their caller.
#ifndef COFLOW_VRING_H
#define COFLOW_VRING_H
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline uint16_t coflow_load_16(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED); }
static inline uint16_t coflow_load_acquire_16(const void *p) {
  return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}
static inline uint32_t coflow_load_32(const void *p) { return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED); }
static inline uint64_t coflow_load_64(const void *p) { return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED); }
static inline void coflow_store_16(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED); }
static inline void coflow_store_release_16(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE); }
static inline void coflow_store_32(void *p, uint32_t v) { __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED); }
static inline void coflow_store_64(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED); }
static inline void coflow_store_release_64(void *p, uint64_t v) { __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE); }
static inline void coflow_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/// The front-end reads the dirty log at any time and clears bits in it.
static inline void coflow_or_8(void *p, uint8_t bits) { __atomic_fetch_or((uint8_t *)p, bits, __ATOMIC_RELAXED); }

static inline void coflow_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
/// Has a line brought to be written: taken from whoever has it, not shared with him, which would cost a second way when the store
/// comes. (The compiler's own prefetch for writing is one for reading, unless it may take newer processors for granted; those that
/// lack the instruction do nothing for it.)
static inline void coflow_prefetch_write(void *p) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(char *)p));
#else
  __builtin_prefetch(p, 1, 3);
#endif
}

/// Copies `n` bytes between areas that do not overlap. Up to 256 bytes without a call.
static inline void coflow_copy(void *to, const void *from, uint64_t n) {
#if defined(__SSE2__)
  if (n >= 16 && n <= 256) {
    uint8_t *d = (uint8_t *)to;
    const uint8_t *s = (const uint8_t *)from;
    const __m128i last = _mm_loadu_si128((const __m128i *)(s + n - 16));
    for (uint64_t i = 0; i + 16 < n; i += 16)
      _mm_storeu_si128((__m128i *)(d + i), _mm_loadu_si128((const __m128i *)(s + i)));
    _mm_storeu_si128((__m128i *)(d + n - 16), last);
    return;
  }
#endif
  memcpy(to, from, n);
}
#endif
