// RegAD edge runtime for C++17: regad.h with ownership and exceptions. Header only; link regad::regad.
//
//     regad::Detector detector("model.regad");
//     detector.load_category("part.safetensors");
//     regad::Result result = detector.predict(regad::Image(pixels, 1920, 1080, regad::Format::bgr));
//     if (result.anomalous) reject();
//
// Thread, ownership and environment rules are those of regad.h. Every function but destructors and close may throw
// regad::Error, or std::bad_alloc. A prediction that fails throws: there is no result to misread, and a Result that was
// never filled is anomalous.
#ifndef REGAD_REGAD_HPP
#define REGAD_REGAD_HPP

#include <regad/regad.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace regad {

// A failed call: what() is the library's line, status() the code.
class Error : public std::runtime_error {
public:
    explicit Error(regad_status status) : std::runtime_error(regad_last_error()), status_(status) {}
    regad_status status() const noexcept { return status_; }

private:
    regad_status status_;
};

inline void check(regad_status status) {
    if (status != REGAD_OK) {
        throw Error(status);
    }
}

enum class Format : regad_format {
    rgb = REGAD_FORMAT_RGB,
    bgr = REGAD_FORMAT_BGR,
    rgba = REGAD_FORMAT_RGBA,
    bgra = REGAD_FORMAT_BGRA,
    gray = REGAD_FORMAT_GRAY
};

// A view of 8-bit interleaved pixels; it owns nothing. `stride` 0: rows without a gap.
struct Image : regad_image {
    Image(const std::uint8_t *pixels, std::int32_t columns, std::int32_t rows, Format layout,
          std::int64_t row_bytes = 0) : regad_image{} {
        check(regad_image_init(this, sizeof(regad_image)));
        data = pixels;
        width = columns;
        height = rows;
        stride = row_bytes;
        format = static_cast<regad_format>(layout);
    }
};
static_assert(sizeof(Image) == sizeof(regad_image), "an array of Image is an array of regad_image");

// See regad_options for the meaning of each.
struct Options {
    std::string device = "cpu";
    int threads = 0;
    regad_scorer scorer = REGAD_SCORER_AUTO;
    std::string onnxruntime;
    std::string provider_options;
    int max_batch = 8;
    int concurrency = 4;
};

// See regad_result. New, it is one that was not judged: anomalous, score infinity. `map` is row-major, REGAD_MAP_SIZE
// squared, and empty unless it was asked for.
struct Result : regad_result {
    Result() : regad_result{} { check(regad_result_init(this, sizeof(regad_result))); }
    std::vector<float> map;
};

class Detector {
public:
    explicit Detector(const std::string &artifact, const Options &options = Options()) {
        regad_options raw;
        check(regad_options_init(&raw, sizeof raw));
        raw.device = options.device.c_str();
        raw.threads = options.threads;
        raw.scorer = options.scorer;
        raw.onnxruntime = options.onnxruntime.empty() ? nullptr : options.onnxruntime.c_str();
        raw.provider_options = options.provider_options.empty() ? nullptr : options.provider_options.c_str();
        raw.max_batch = options.max_batch;
        raw.concurrency = options.concurrency;
        regad_detector *made = nullptr;
        check(regad_detector_create(artifact.c_str(), &raw, &made));
        handle_.reset(made);
    }

    void load_category(const std::string &path) { check(regad_load_category(handle_.get(), path.c_str())); }
    void set_threshold(double threshold) { check(regad_set_threshold(handle_.get(), threshold)); }

    Result predict(const Image &image, bool with_map = false) {
        Result result;
        if (with_map) {
            result.map.resize(REGAD_MAP_LENGTH);
        }
        check(regad_predict(handle_.get(), &image, &result, with_map ? result.map.data() : nullptr,
                            result.map.size()));
        return result;
    }

    std::vector<Result> predict_batch(const std::vector<Image> &images, bool with_maps = false) {
        std::vector<Result> results(images.size());
        std::vector<regad_result> raw(results.begin(), results.end());
        std::vector<float> maps(with_maps ? images.size() * REGAD_MAP_LENGTH : 0);
        check(regad_predict_batch(handle_.get(), images.data(), images.size(), raw.data(),
                                  maps.empty() ? nullptr : maps.data(), maps.size()));
        for (std::size_t i = 0; i < results.size(); ++i) {
            static_cast<regad_result &>(results[i]) = raw[i];
            if (with_maps) {
                const auto begin = maps.begin() + static_cast<std::ptrdiff_t>(i * REGAD_MAP_LENGTH);
                results[i].map.assign(begin, begin + REGAD_MAP_LENGTH);
            }
        }
        return results;
    }

    // Throws if this machine does not reproduce the artifact's golden results.
    regad_self_test_report self_test() {
        regad_self_test_report report;
        check(regad_self_test_report_init(&report, sizeof report));
        check(regad_self_test(handle_.get(), &report));
        return report;
    }

    // A JSON object about what is loaded.
    std::string describe() const {
        std::string text;
        for (std::size_t length = 0;; text.resize(length)) {  // again if it grew in between
            length = text.size();
            const regad_status status = regad_describe(handle_.get(), length > 0 ? &text[0] : nullptr, &length);
            if (status == REGAD_OK && !text.empty()) {
                text.resize(length - 1);
                return text;
            }
            if (status != REGAD_OK && status != REGAD_BUFFER_TOO_SMALL) {
                throw Error(status);
            }
        }
    }

    // Destroys the detector before its object goes: at any time, from any thread, more than once. Waits for the calls
    // under way; later ones throw. The object itself must outlive the threads that use it.
    void close() noexcept { regad_detector_destroy(handle_.get()); }

    // The handle, for calls of regad.h; it stays this object's.
    regad_detector *get() const noexcept { return handle_.get(); }

private:
    struct Destroy {
        void operator()(regad_detector *detector) const noexcept { regad_detector_destroy(detector); }
    };
    std::unique_ptr<regad_detector, Destroy> handle_;
};

inline std::string version() { return regad_version_string(); }

}  // namespace regad

#endif
