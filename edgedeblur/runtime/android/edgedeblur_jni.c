/* edgedeblur_jni.c: the network for Kotlin and Java: the native side of Deblurrer.kt. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "edgedeblur.h"
#include "jni_table.h"

/* An instance and its images: a bitmap's pixels are 0xAARRGGBB, the network's three bytes. */
typedef struct {
  ed_model *model;
  uint8_t *in;
  uint8_t *out;
} deblurrer;

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_io_edgedeblur_Deblurrer_##name

static size_t pixels(void) { return (size_t)ed_height() * (size_t)ed_width(); }

static void throw(JNIEnv *env, const char *kind, const char *message) {
  jclass class = (*env)->FindClass(env, kind);
  if (class != NULL) (*env)->ThrowNew(env, class, message);
}

static void destroy(deblurrer *self) {
  if (self == NULL) return;
  ed_destroy(self->model);
  free(self->in);
  free(self->out);
  free(self);
}

NATIVE(jlong, nativeCreate)(JNIEnv *env, jobject object, jint threads) {
  (void)object;
  deblurrer *self = calloc(1, sizeof *self);
  if (self != NULL) {
    self->in = malloc(pixels() * 3);
    self->out = malloc(pixels() * 3);
  }
  if (self == NULL || self->in == NULL || self->out == NULL) {
    throw(env, "java/lang/OutOfMemoryError", "no memory for the images");
  } else {
    self->model = ed_create(&(ed_options){.threads = threads});
    if (self->model != NULL) return (jlong)(intptr_t)self;
    throw(env, "java/lang/IllegalStateException", ed_last_error());
  }
  destroy(self);
  return 0;
}

/* The pixels between the two critical sections, which the garbage collector waits for: only copies happen in them. */
static int unpack(JNIEnv *env, jintArray argb, uint8_t *rgb) {
  const uint32_t *from = (*env)->GetPrimitiveArrayCritical(env, argb, NULL);
  if (from == NULL) return -1;
  for (size_t i = 0; i < pixels(); i++) {
    rgb[3 * i] = (uint8_t)(from[i] >> 16);
    rgb[3 * i + 1] = (uint8_t)(from[i] >> 8);
    rgb[3 * i + 2] = (uint8_t)from[i];
  }
  (*env)->ReleasePrimitiveArrayCritical(env, argb, (void *)from, JNI_ABORT);
  return 0;
}

static int pack(JNIEnv *env, jintArray argb, const uint8_t *rgb) {
  uint32_t *to = (*env)->GetPrimitiveArrayCritical(env, argb, NULL);
  if (to == NULL) return -1;
  for (size_t i = 0; i < pixels(); i++) {
    const uint32_t colour = (uint32_t)rgb[3 * i] << 16 | (uint32_t)rgb[3 * i + 1] << 8 | rgb[3 * i + 2];
    to[i] = (to[i] & 0xff000000u) | colour;
  }
  (*env)->ReleasePrimitiveArrayCritical(env, argb, to, 0);
  return 0;
}

NATIVE(void, nativeRun)(JNIEnv *env, jobject object, jlong handle, jintArray argb) {
  (void)object;
  deblurrer *self = (deblurrer *)(intptr_t)handle;
  if (self == NULL) {
    throw(env, "java/lang/IllegalStateException", "this Deblurrer is closed");
  } else if ((size_t)(*env)->GetArrayLength(env, argb) != pixels()) {
    throw(env, "java/lang/IllegalArgumentException", "the image is not of the network's width and height");
  } else if (unpack(env, argb, self->in) == 0) {
    if (ed_run(self->model, self->in, self->out) != 0) throw(env, "java/lang/IllegalStateException", ed_last_error());
    else pack(env, argb, self->out);
  }
}

/* A frame for Kotlin: its planes as direct buffers, and its numbers: width, height, format, matrix, range, three row
 * strides and three pixel strides. */
enum { WIDTH, HEIGHT, FORMAT, MATRIX, RANGE, ROW_STRIDE, PIXEL_STRIDE = ROW_STRIDE + 3, NUMBERS = PIXEL_STRIDE + 3 };

/* Bytes to the last sample of a plane; negative where they cannot be told. */
static int64_t plane_bytes(const ed_frame *frame, int plane) {
  const bool colours = frame->format == ED_RGBA;
  if ((!colours && frame->format != ED_YUV_420_888) || frame->row_stride[plane] < 1) return -1;
  if (plane > 0 && frame->pixel_stride[plane] < 1) return -1;
  const int64_t step = colours ? 4 : plane == 0 ? 1 : frame->pixel_stride[plane];
  const int64_t columns = plane == 0 ? frame->width : ((int64_t)frame->width + 1) / 2;
  const int64_t rows = plane == 0 ? frame->height : ((int64_t)frame->height + 1) / 2;
  return (rows - 1) * frame->row_stride[plane] + (columns - 1) * step + (colours ? 4 : 1);
}

/* 0, or -1 with an exception pending: what a buffer holds must reach to the frame's last sample. */
static int read_frame(JNIEnv *env, jobjectArray planes, jintArray numbers, ed_frame *frame) {
  jint values[NUMBERS];
  (*env)->GetIntArrayRegion(env, numbers, 0, NUMBERS, values);
  if ((*env)->ExceptionCheck(env)) return -1;
  *frame = (ed_frame){values[WIDTH], values[HEIGHT], values[FORMAT], values[MATRIX], values[RANGE], {0}, {0}, {0}};
  for (int i = 0; i < (*env)->GetArrayLength(env, planes) && i < 3; i++) {
    jobject buffer = (*env)->GetObjectArrayElement(env, planes, i);
    frame->row_stride[i] = values[ROW_STRIDE + i];
    frame->pixel_stride[i] = values[PIXEL_STRIDE + i];
    frame->plane[i] = (*env)->GetDirectBufferAddress(env, buffer);
    const int64_t bytes = plane_bytes(frame, i);
    if (bytes < 0 || frame->plane[i] == NULL || (*env)->GetDirectBufferCapacity(env, buffer) < bytes) {
      throw(env, "java/lang/IllegalArgumentException", "a plane is no direct buffer, or too small for the frame");
      return -1;
    }
  }
  return 0;
}

/* 0, or -1 with an exception pending. A mask that is NULL is none: all of the frame is restored. */
static int read_mask(JNIEnv *env, jobject mask, jint width, jint height, ed_frame_options *options) {
  if (mask == NULL) return 0;
  options->mask = (*env)->GetDirectBufferAddress(env, mask);
  options->mask_width = width;
  options->mask_height = height;
  const bool positive = options->mask != NULL && width > 0 && height > 0;
  if (positive && (*env)->GetDirectBufferCapacity(env, mask) >= (jlong)width * height) return 0;
  throw(env, "java/lang/IllegalArgumentException", "a mask is no direct buffer of width x height bytes");
  return -1;
}

NATIVE(void, nativeRunFrame)
(JNIEnv *env, jobject object, jlong handle, jobjectArray from, jintArray in_numbers, jobjectArray to,
 jintArray out_numbers, jint rotation, jobject mask, jint mask_width, jint mask_height) {
  (void)object;
  deblurrer *self = (deblurrer *)(intptr_t)handle;
  ed_frame in, out;
  if (self == NULL) {
    throw(env, "java/lang/IllegalStateException", "this Deblurrer is closed");
    return;
  }
  ed_frame_options options = {.rotation = rotation};
  if (read_frame(env, from, in_numbers, &in) != 0 || read_frame(env, to, out_numbers, &out) != 0) return;
  if (read_mask(env, mask, mask_width, mask_height, &options) != 0) return;
  if (ed_run_frame(self->model, &in, &out, &options) != 0) {
    throw(env, "java/lang/IllegalArgumentException", ed_last_error());
  }
}

NATIVE(void, nativeDestroy)(JNIEnv *env, jobject object, jlong handle) {
  (void)env, (void)object;
  destroy((deblurrer *)(intptr_t)handle);
}

NATIVE(jint, nativeWidth)(JNIEnv *env, jobject object) {
  (void)env, (void)object;
  return ed_width();
}

NATIVE(jint, nativeHeight)(JNIEnv *env, jobject object) {
  (void)env, (void)object;
  return ed_height();
}

NATIVE(jstring, nativeInstructionSet)(JNIEnv *env, jobject object) {
  (void)object;
  return (*env)->NewStringUTF(env, ed_isa());
}
