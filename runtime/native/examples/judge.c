/* Judges one binary PPM image: judge MODEL CATEGORY IMAGE.ppm. Exit status 0 good, 4 anomalous, 1 not judged. */
#include <regad/regad.h>

#include <stdio.h>
#include <stdlib.h>

static uint8_t *read_ppm(const char *path, int *width, int *height) {
    FILE *file = fopen(path, "rb");
    uint8_t *pixels = NULL;
    if (file == NULL) {
        return NULL;
    }
    if (fscanf(file, "P6 %d %d 255", width, height) == 2 && fgetc(file) != EOF && *width > 0 && *height > 0 &&
        *width <= 65535 && *height <= 65535) {
        const size_t size = (size_t)*width * (size_t)*height * 3;
        pixels = malloc(size);
        if (pixels != NULL && fread(pixels, 1, size, file) != size) {
            free(pixels);
            pixels = NULL;
        }
    }
    fclose(file);
    return pixels;
}

static int judge(regad_detector *detector, const char *path) {
    regad_image image;
    regad_result result;
    int status = 1;
    regad_image_init(&image, sizeof image);
    regad_result_init(&result, sizeof result);
    uint8_t *pixels = read_ppm(path, &image.width, &image.height);
    image.data = pixels;
    if (pixels == NULL) {
        fprintf(stderr, "error: %s cannot be read as a binary PPM image\n", path);
    } else if (regad_predict(detector, &image, &result, NULL, 0) != REGAD_OK) {
        fprintf(stderr, "error: %s\n", regad_last_error());
    } else {
        printf("%s: score %.3f, threshold %.3f: %s%s%s (%.1f ms)\n", path, (double)result.score, result.threshold,
               regad_reason_string(result.reason), result.detail[0] != '\0' ? ", " : "", result.detail,
               (double)result.ms_total);
        status = result.anomalous ? 4 : 0;
    }
    free(pixels);
    return status;
}

int main(int argc, char **argv) {
    regad_detector *detector = NULL;
    int status = 1;
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL CATEGORY IMAGE.ppm\n", argv[0]);
        return 2;
    }
    if (regad_detector_create(argv[1], NULL, &detector) != REGAD_OK ||
        regad_load_category(detector, argv[2]) != REGAD_OK) {
        fprintf(stderr, "error: %s\n", regad_last_error());
    } else {
        status = judge(detector, argv[3]);
    }
    regad_detector_destroy(detector);
    return status;
}
