#include "core/kernels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace regad {
namespace {

#if defined(__x86_64__)
// Not every compiler's __builtin_cpu_supports knows "f16c".
bool has_f16c() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

const Kernels &choose() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
        return wide ? kernels_avx512 : kernels_avx2;
    }
#endif
    return kernels_base;
}

}  // namespace

const Kernels &kernels() noexcept {
    static const Kernels &best = choose();
    return best;
}

}  // namespace regad
