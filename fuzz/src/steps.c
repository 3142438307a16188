/* What a thread did since it began, in steps. In C, because no code that is instrumented can count itself.
 *
 * A step is an edge of the control flow that was taken, or sixteen bytes that the C library was asked to copy, fill,
 * compare or move. The linker puts these functions in front of the real ones (build.rs). */

#include <stddef.h>
#include <stdint.h>

#define BYTES_OF_A_STEP 16
#define RATES 64

/* Of this thread alone: what others do meanwhile is not the target's work. */
static _Thread_local uint64_t steps;

/* libFuzzer takes a byte that was never set before for something new: it keeps inputs that are dearer than others. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t rates[RATES];

uint64_t native_sidecar_steps(void) { return steps; }

void native_sidecar_rate(uint64_t rate) { rates[rate < RATES ? rate : RATES - 1] = 1; }

void __wrap___sanitizer_cov_trace_pc(void) { steps++; }

static void count(size_t bytes) { steps += 1 + bytes / BYTES_OF_A_STEP; }

void *__real_memcpy(void *, const void *, size_t);
void *__real_memmove(void *, const void *, size_t);
void *__real_memset(void *, int, size_t);
int __real_memcmp(const void *, const void *, size_t);
int __real_bcmp(const void *, const void *, size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);

void *__wrap_memcpy(void *to, const void *from, size_t bytes) {
  count(bytes);
  return __real_memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes) {
  count(bytes);
  return __real_memmove(to, from, bytes);
}

void *__wrap_memset(void *at, int byte, size_t bytes) {
  count(bytes);
  return __real_memset(at, byte, bytes);
}

int __wrap_memcmp(const void *one, const void *other, size_t bytes) {
  count(bytes);
  return __real_memcmp(one, other, bytes);
}

int __wrap_bcmp(const void *one, const void *other, size_t bytes) {
  count(bytes);
  return __real_bcmp(one, other, bytes);
}

void *__wrap_calloc(size_t number, size_t bytes) {
  count(number * bytes);
  return __real_calloc(number, bytes);
}

void *__wrap_realloc(void *at, size_t bytes) {
  count(bytes);
  return __real_realloc(at, bytes);
}
