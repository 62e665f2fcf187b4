/* Control of the stand-in for ONNX Runtime (fake_ort.cpp), found with dlsym. */
#pragma once

/* The named function of OrtApi fails from its n-th call on (1: at once); 0: it works. */
typedef void (*fake_ort_fail_function)(const char *name, int call);
/* The outputs of the encoder: 0 normal, 1 not a number. */
typedef void (*fake_ort_mode_function)(int mode);
/* What the execution provider of the last session was given, "key=value;key=value". */
typedef const char *(*fake_ort_given_function)(void);
/* $ORT_DISABLE_TELEMETRY as it was when the environment was made, or "unset"; " disabled" after it for each call of
 * DisableTelemetryEvents. */
typedef const char *(*fake_ort_telemetry_function)(void);
/* While it is not 0, every run of a graph stays where it is; fake_ort_wait_held returns once `count` runs do. */
typedef void (*fake_ort_hold_function)(int hold);
typedef void (*fake_ort_wait_held_function)(int count);
