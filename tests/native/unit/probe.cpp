// The preprocessing and the smoothing matrix as C functions, for comparison with Python.
#include <algorithm>
#include <exception>

#include "engine/preprocess.hpp"
#include "core/smoothing.hpp"

extern "C" {

// `roi` null or x, y, width, height. Returns 0, or 1 if the image was refused.
REGAD_API int probe_preprocess(const regad_image *image, int fit, int resample, const std::int64_t *roi, int threads,
                               unsigned char *out) {
    try {
        regad::InputSpec spec;
        spec.fit = static_cast<regad::Fit>(fit);
        spec.resample = static_cast<regad::Resample>(resample);
        spec.has_roi = roi != nullptr;
        if (roi != nullptr) {
            std::copy_n(roi, 4, spec.roi.begin());
        }
        regad::Pool pool(static_cast<std::size_t>(threads));
        regad::Preprocessor().run(*image, spec, pool, out);
        return 0;
    } catch (const std::exception &) {
        return 1;
    }
}

REGAD_API void probe_smoothing_matrix(std::size_t grid, float *out) {
    const std::vector<float> matrix = regad::smoothing_matrix(grid);
    std::copy(matrix.begin(), matrix.end(), out);
}
}
