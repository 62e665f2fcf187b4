// The compiled kernels for the Python runtime (runtime/kernels.py), which brings its own ONNX Runtime, reader and memory:
// a C ABI of its own over core/, built by setup.py without the rest of the library.
//
// A scorer or a template may be used in several threads at once. Statuses: 0 done; 1 out of memory; 2 anything else, which
// is an argument that Python never gives. What is made is written to the last argument, with status 0 alone.
#pragma once

#include <cstddef>
#include <cstdint>

#define REGAD_EMBEDDED extern "C" __attribute__((visibility("default")))

// Raised with every change of this interface; the Python side asks before anything else.
REGAD_EMBEDDED std::int32_t regad_embedded_version();
// The instruction set in use.
REGAD_EMBEDDED const char *regad_embedded_kernels();

// Threads for `threads` cores, the caller's own included, to the end of the process; status 2 if they cannot be had.
REGAD_EMBEDDED std::int32_t regad_embedded_pool(std::size_t threads, void **made);

// Scores against `count` tensors in the caller's memory (float32, or binary16 where `half` is 1), which outlives the
// scorer and has 64 readable, finite bytes behind each tensor; so does the pool. Of each of the `groups` (one or two)
// `encodings` and `finest` (1, 2 or 3) say what it is; `cells` (0: the map's maximum), the scale [g, g] of the last one,
// which is copied, and `map_gain` are those of core/judge.hpp.
REGAD_EMBEDDED std::int32_t regad_embedded_scorer(void *pool, std::size_t groups, const char *const *encodings,
                                                  const std::size_t *finest, std::size_t rank, std::size_t count,
                                                  const char *const *names, const void *const *tensors,
                                                  const std::size_t *lengths, const std::int32_t *half,
                                                  std::size_t cells, const float *scale, float map_gain, void **made);
REGAD_EMBEDDED void regad_embedded_scorer_free(void *scorer);

// f1 [batch, 3136, 64], f2 [batch, 784, 128], f3 [batch, 196, 256], null where the level is not scored, to distances
// [batch, g, g], one group's after another's, and, unless `maps` is null, to maps [batch, 224, 224] and scores [batch].
REGAD_EMBEDDED std::int32_t regad_embedded_score(void *scorer, const float *f1, const float *f2, const float *f3,
                                                 std::size_t batch, float *distances, float *maps, float *scores);

// A part of the uint8 RGB image `pixels`, `stride` bytes from one row to the next, to uint8 RGB [224, 224, 3].
// `spot`: left, top, right, bottom in the image; x, y, width, height in the input; they are checked by the caller.
// `filter`: 0 box, 1 lanczos, 2 bilinear.
REGAD_EMBEDDED std::int32_t regad_embedded_resample(void *pool, const unsigned char *pixels, std::int32_t width,
                                                    std::int32_t height, std::int64_t stride,
                                                    const std::int32_t *spot, std::int32_t filter, unsigned char *out);

// The measures of core/presence.hpp of the uint8 RGB [224, 224, 3] at `image`, to `measures`, float64 [4].
REGAD_EMBEDDED void regad_embedded_presence(const unsigned char *image, double *measures);

// A part's template from its cells [256][256], the weights of red, green and blue in them, and its geometry in cells: the
// region its frame covered (left, top, right, bottom), width and height of the region of interest, x and y of the
// part's centre. Nothing is kept of the caller's memory.
REGAD_EMBEDDED std::int32_t regad_embedded_template(void *pool, const float *grey, const float *weights,
                                                    const double *geometry, void **made);
REGAD_EMBEDDED void regad_embedded_template_free(void *part);

// Finds the part in a uint8 RGB image whose region of interest is `box` (left, top, right, bottom), and samples the input,
// uint8 RGB [224, 224, 3], where `spot` (x, y, width, height in the input) says. `result`: a, b, tx, ty, quality, rival;
// `seen` [56, 56]: how much of each position the image shows.
REGAD_EMBEDDED std::int32_t regad_embedded_register(void *pool, void *part, const unsigned char *pixels,
                                                    std::int32_t width, std::int32_t height, std::int64_t stride,
                                                    const std::int32_t *box, const std::int32_t *spot,
                                                    std::int32_t stretched, double *result, unsigned char *out,
                                                    float *seen);

// Fills the positions of a registered input, uint8 RGB [224, 224, 3], that are seen, [56, 56], less than whole, from a
// reference like it (core/fill.hpp), in the caller's thread.
REGAD_EMBEDDED std::int32_t regad_embedded_fill(const unsigned char *reference, const float *seen, unsigned char *image);
