/* jni.h: stands in for the NDK's: just what edgedeblur_jni.c uses, at the places that the JNI specification gives. */
#ifndef JNI_H
#define JNI_H
#include <stdint.h>

#define JNIEXPORT __attribute__((visibility("default")))
#define JNICALL
#define JNI_ABORT 2

typedef int32_t jint;
typedef int64_t jlong;
typedef uint8_t jboolean;
typedef jint jsize;
typedef void *jobject, *jclass, *jstring, *jarray, *jintArray;
struct JNINativeInterface;
typedef const struct JNINativeInterface *JNIEnv;

struct JNINativeInterface {
  void *until_6[6];
  jclass (*FindClass)(JNIEnv *, const char *);
  void *until_14[7];
  jint (*ThrowNew)(JNIEnv *, jclass, const char *);
  void *until_167[152];
  jstring (*NewStringUTF)(JNIEnv *, const char *);
  void *until_171[3];
  jsize (*GetArrayLength)(JNIEnv *, jarray);
  void *until_222[50];
  void *(*GetPrimitiveArrayCritical)(JNIEnv *, jarray, jboolean *);
  void (*ReleasePrimitiveArrayCritical)(JNIEnv *, jarray, void *, jint);
};
#endif
