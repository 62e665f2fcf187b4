#include "kernels.hpp"

namespace regad {
namespace {

const Kernels &choose() noexcept {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
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
