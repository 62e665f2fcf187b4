/* RegAD edge runtime: few-shot visual inspection behind a C ABI. This header is the whole surface.
 *
 *   regad_options options;
 *   regad_options_init(&options, sizeof options);
 *   regad_detector *detector = NULL;
 *   if (regad_detector_create("model.regad", &options, &detector) != REGAD_OK ||
 *       regad_load_category(detector, "part.safetensors") != REGAD_OK) {
 *       fprintf(stderr, "%s\n", regad_last_error());
 *   }
 *   regad_image image;
 *   regad_image_init(&image, sizeof image);
 *   image.data = pixels; image.width = 1920; image.height = 1080; image.format = REGAD_FORMAT_BGR;
 *   regad_result result;
 *   regad_result_init(&result, sizeof result);
 *   if (regad_predict(detector, &image, &result, NULL, 0) != REGAD_OK || result.anomalous) reject();
 *   regad_detector_destroy(detector);
 *
 * Threads: every function may be called from any thread, and every function that takes a detector may run on
 * one detector from many threads at once. regad_load_category and regad_set_threshold may run while other threads
 * predict: a prediction under way finishes with the category and threshold it began with, the next one takes the
 * new ones. regad_detector_destroy may run at any time, too: it waits for the calls under way on its detector, and
 * calls that come later are refused. regad_last_error belongs to the calling thread. Threads do not survive fork():
 * a child process makes its own detectors.
 *
 * Ownership: the caller owns every buffer it passes in; the library keeps no pointer to it after the call,
 * except the log function and its user pointer. Strings returned as `const char *` are never freed by the
 * caller. A detector is made by regad_detector_create and ended by regad_detector_destroy. Its handle is never
 * given out again: after the end every copy of it is refused with REGAD_INVALID_ARGUMENT, and destroying it again,
 * or NULL, does nothing.
 *
 * Errors: a call returns REGAD_OK or another status; text for it is in regad_last_error(). After an error the
 * detector is as it was before the call and remains usable. An image that could not be judged is not good:
 * treat every status but REGAD_OK as a reject. Whatever makes a prediction fail, its results say anomalous = 1; no
 * older verdict, map, report or description is left in the caller's buffers. No C++ exception leaves the library.
 *
 * Environment: ONNX Runtime 1.29 and newer sends events to its vendor and writes a device id below HOME. The first
 * regad_detector_create sets ORT_DISABLE_TELEMETRY=1 before it opens ONNX Runtime, unless the variable is set to
 * something. Setting a variable is not safe while another thread reads the environment: a program whose threads do that
 * sets the variable itself before it starts them, or makes its first detector before.
 *
 * Versions: structs begin with struct_size; their *_init function fills in the defaults, its second argument is the
 * caller's sizeof. The layouts in the header of release 0.1.0 are the first ones that are promised: from that release on
 * structs only grow at their end, and a program built against an older released header runs with a newer library of the
 * same major version (before 1.0: of the same minor version, which the soname carries). A header from before 0.1.0 was
 * released has no such promise: build again.
 */
#ifndef REGAD_REGAD_H
#define REGAD_REGAD_H

#include <stddef.h>
#include <stdint.h>

#ifndef REGAD_API
#if defined(__GNUC__)
#define REGAD_API __attribute__((visibility("default")))
#else
#define REGAD_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define REGAD_VERSION_MAJOR 0
#define REGAD_VERSION_MINOR 1
#define REGAD_VERSION_PATCH 0
/* major * 1000000 + minor * 1000 + patch, of this header; compare with regad_version(), the library's. */
#define REGAD_VERSION (REGAD_VERSION_MAJOR * 1000000 + REGAD_VERSION_MINOR * 1000 + REGAD_VERSION_PATCH)

/* Side of the anomaly map, pixels: a map is REGAD_MAP_SIZE rows of REGAD_MAP_SIZE floats. */
#define REGAD_MAP_SIZE 224
#define REGAD_MAP_LENGTH (REGAD_MAP_SIZE * REGAD_MAP_SIZE)

/* ---- status ------------------------------------------------------------------------------------------ */

typedef int32_t regad_status;
enum {
    REGAD_OK = 0,
    REGAD_INVALID_ARGUMENT = 1, /* a NULL pointer, a struct of unknown size, a value out of range */
    REGAD_ARTIFACT_ERROR = 2,   /* the artifact folder is missing, damaged, of another version */
    REGAD_CATEGORY_ERROR = 3,   /* the category file is damaged, of another version or another artifact */
    REGAD_INPUT_ERROR = 4,      /* the image cannot be judged (size, stride, region outside the image) */
    REGAD_DEVICE_ERROR = 5,     /* ONNX Runtime or the device asked for is not there */
    REGAD_NO_CATEGORY = 6,      /* predict before regad_load_category */
    REGAD_RUNTIME_ERROR = 7,    /* ONNX Runtime failed, or gave a result that is not finite */
    REGAD_SELF_TEST_FAILED = 8, /* this machine does not reproduce the artifact's golden results */
    REGAD_BUFFER_TOO_SMALL = 9, /* a caller's buffer is shorter than what it must hold */
    REGAD_OUT_OF_MEMORY = 10,
    REGAD_INTERNAL_ERROR = 11
};

/* The library's version, as REGAD_VERSION. */
REGAD_API int32_t regad_version(void);
/* The same as text, "0.1.0". */
REGAD_API const char *regad_version_string(void);
/* A short fixed name of a status, "artifact error"; "unknown status" for any other number. */
REGAD_API const char *regad_status_string(regad_status status);
/* What the last failed call on this thread found, expected and advises, in one line of at most 1023 bytes; "" if none
 * failed. Paths and names in it are the bytes that were given. Valid until the next failing call on the same thread. */
REGAD_API const char *regad_last_error(void);

/* ---- log --------------------------------------------------------------------------------------------- */

typedef int32_t regad_log_level;
enum {
    REGAD_LOG_INFO = 1,
    REGAD_LOG_WARNING = 2,
    REGAD_LOG_ERROR = 3
};
/* Receives one line without its newline, valid until it returns. It may be called from any thread, one call at a time.
 * It must not throw, nor wait for a thread that uses the library. Calls of the library that it makes are refused with
 * REGAD_INVALID_ARGUMENT. */
typedef void (*regad_log_function)(void *user, regad_log_level level, const char *message);
/* Sends this library's and ONNX Runtime's messages of at least `level` to `function`, for the whole process;
 * NULL (the state at start) discards them. When the call returns, the former function is no longer running. */
REGAD_API regad_status regad_set_log(regad_log_function function, void *user, regad_log_level level);

/* ---- detector ---------------------------------------------------------------------------------------- */

typedef struct regad_detector regad_detector;

typedef int32_t regad_scorer;
enum {
    REGAD_SCORER_AUTO = 0,   /* compiled on the CPU, graph on a GPU: the faster one */
    REGAD_SCORER_NATIVE = 1, /* the compiled scorer of this library, on the CPU */
    REGAD_SCORER_GRAPH = 2   /* the artifact's scorer graph, in ONNX Runtime on the detector's device */
};

typedef struct regad_options {
    size_t struct_size;
    /* "cpu" (default), "cuda", "cuda:1", "tensorrt", "tensorrt:0", or "auto": CUDA if it is there, else the CPU. */
    const char *device;
    /* Threads of one prediction; 0 (default): as many as there are cores this process may use. */
    int32_t threads;
    /* regad_scorer. */
    regad_scorer scorer;
    /* ONNX Runtime's shared library; NULL (default): $REGAD_ONNXRUNTIME, then the loader's own search for
     * libonnxruntime.so.1 and libonnxruntime.so. */
    const char *onnxruntime;
    /* Options of the execution provider, "key=value;key=value"; NULL: none. They override those that this library gives
     * itself: use_tf32=0 on CUDA, trt_fp16_enable=1 or trt_int8_enable=1 on TensorRT. */
    const char *provider_options;
    /* Images that one run of the encoder takes at most in regad_predict_batch, 1 to 64. Default 8. */
    int32_t max_batch;
    /* Threads that predict at the same time without one allocating; default 4. More may, at a small cost. */
    int32_t concurrency;
} regad_options;

/* Fills in the defaults and struct_size; pass sizeof *options. */
REGAD_API regad_status regad_options_init(regad_options *options, size_t struct_size);

/* Opens the artifact folder, checks every file of it against the manifest and makes the session.
 * `options` may be NULL for the defaults. On failure *detector is NULL. */
REGAD_API regad_status regad_detector_create(const char *artifact, const regad_options *options,
                                             regad_detector **detector);
/* Waits for the calls under way on the detector, then frees it. Does nothing for NULL and for a detector that was
 * destroyed. */
REGAD_API void regad_detector_destroy(regad_detector *detector);

/* Reads a category file (regad-calib writes it) and makes it the one that the next predictions use, with the
 * threshold in it. On failure the category in use stays. */
REGAD_API regad_status regad_load_category(regad_detector *detector, const char *path);
/* Replaces the threshold of the category in use, until the next regad_load_category. Finite and above 0. The category's
 * warn limit stays if it is below. */
REGAD_API regad_status regad_set_threshold(regad_detector *detector, double threshold);

/* ---- predict ----------------------------------------------------------------------------------------- */

typedef int32_t regad_format;
enum {
    REGAD_FORMAT_RGB = 0,
    REGAD_FORMAT_BGR = 1,
    REGAD_FORMAT_RGBA = 2, /* alpha is ignored */
    REGAD_FORMAT_BGRA = 3, /* alpha is ignored */
    REGAD_FORMAT_GRAY = 4
};

/* One image, 8 bits a channel, interleaved, first row on top. */
typedef struct regad_image {
    size_t struct_size;
    const uint8_t *data;
    int32_t width;       /* pixels, 1 to 65535 */
    int32_t height;      /* pixels, 1 to 65535 */
    int64_t stride;      /* bytes from one row to the next; 0: rows without a gap; negative: bottom row first */
    regad_format format; /* default RGB */
} regad_image;

REGAD_API regad_status regad_image_init(regad_image *image, size_t struct_size);

/* Why a result is as it is. */
typedef int32_t regad_reason;
enum {
    REGAD_GOOD = 0,
    REGAD_ANOMALOUS = 1,  /* score > threshold */
    REGAD_MISPLACED = 2,  /* the part lies elsewhere than the taught ones, or it is another one */
    REGAD_NO_PART = 3,    /* the frame shows no part: too dark, too plain, out of focus, nothing but noise */
    REGAD_NOT_JUDGED = 4  /* the call failed: its status says why */
};
/* "good", "anomalous", "misplaced", "no_part", "not_judged", as in the record of regad-run; "unknown" for any other. */
REGAD_API const char *regad_reason_string(regad_reason reason);

typedef struct regad_result {
    size_t struct_size;
    double threshold;      /* the threshold it was judged by; 0 if it was not judged */
    float score;           /* >= 0: the largest value of the anomaly map, or what the category's scoring makes of the
                            * distances; infinity if not judged and for REGAD_NO_PART and REGAD_MISPLACED,
                            * which are not scored */
    int32_t anomalous;     /* 1 when score > threshold, else 0; 1 if it was not judged */
    float thetas[3][2][3]; /* the three STN transforms, output -> input, normalised coordinates (affine_grid); 0 where
                            * there is no score */
    float ms_preprocess;   /* wall-clock milliseconds; in a batch the batch's divided by its length */
    float ms_encode;
    float ms_score;
    float ms_total;
    regad_reason reason;   /* anomalous is 1 for every reason but REGAD_GOOD */
    char detail[100];      /* what REGAD_NO_PART or REGAD_MISPLACED rests on, "brightness 3, taught with 88 to 140";
                            * else "" */
    int32_t warn;          /* 1 for a REGAD_GOOD score above the category's warn limit, where it has one */
    int32_t registered;    /* 1 if the category registers its part and it was looked for: the next five hold, else 0 */
    float angle;           /* degrees by which the part is turned from the first support image, clockwise as seen */
    float dx;              /* how far its centre moved right and down, in pixels of the encoder's input */
    float dy;
    float scale;           /* how many times as large it is */
    float match;           /* how well it matches, -1 to 1; REGAD_MISPLACED if worse than the category allows */
    float to_map[2][3];    /* takes a point of the image to the map: map x = to_map[0][0] x + to_map[0][1] y +
                            * to_map[0][2], map y likewise; both in pixels from the upper left corner, so that the first
                            * pixel's centre is 0.5, 0.5. What falls outside the map was not judged. */
} regad_result;

/* Makes it a result that was not judged. */
REGAD_API regad_status regad_result_init(regad_result *result, size_t struct_size);

/* Judges one image. `map` receives REGAD_MAP_LENGTH floats, row-major, the anomaly map in the frame of the
 * encoder's input, all infinity where there is no score; `map_length` is the room in floats. NULL and 0 when it
 * is not wanted.
 * On every failure, also for a wrong argument, *result is as regad_result_init makes it (its struct_size stays):
 * anomalous = 1, score = infinity, reason = REGAD_NOT_JUDGED, threshold and all else 0; and the map, as far as there is
 * room, is infinity. */
REGAD_API regad_status regad_predict(regad_detector *detector, const regad_image *image, regad_result *result,
                                     float *map, size_t map_length);

/* Judges `count` images (all structs of the same struct_size). `maps` receives count * REGAD_MAP_LENGTH floats
 * or is NULL. All of them are judged by the same category. On failure every result and map is as after a failed
 * regad_predict, those of images that could be judged too. A count of 0 is REGAD_OK and touches nothing. */
REGAD_API regad_status regad_predict_batch(regad_detector *detector, const regad_image *images, size_t count,
                                           regad_result *results, float *maps, size_t maps_length);

/* ---- inspection -------------------------------------------------------------------------------------- */

/* The largest differences between this machine and the artifact's golden results, relative to the largest
 * golden value of each output. */
typedef struct regad_self_test_report {
    size_t struct_size;
    float features_error; /* f1, f2, f3 */
    float theta_error;
    float map_error;
    float score_error;
} regad_self_test_report;

REGAD_API regad_status regad_self_test_report_init(regad_self_test_report *report, size_t struct_size);
/* Runs the artifact's golden images and compares. `report` may be NULL; where nothing could be compared its errors are
 * infinity. Needs no category and changes none. */
REGAD_API regad_status regad_self_test(regad_detector *detector, regad_self_test_report *report);

/* Writes a JSON object about what is loaded (library, ONNX Runtime, device, artifact, category) and its
 * terminating zero into `text`. *length is the room in bytes on entry and the need, zero included, on return;
 * with text NULL and *length 0 it only tells the need. On failure `text` is "". */
REGAD_API regad_status regad_describe(regad_detector *detector, char *text, size_t *length);

#ifdef __cplusplus
}
#endif

#endif
