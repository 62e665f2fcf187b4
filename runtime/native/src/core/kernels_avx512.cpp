#include "core/kernels.inc"

namespace regad {
REGAD_KERNELS(avx512);
}
