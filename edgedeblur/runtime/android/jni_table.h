/* jni_table.h: the Java Native Interface as edgedeblur_jni.c sees it, so that no NDK or JDK is needed to compile it. The
 * order of the functions is the interface: it is that of the JNI specification's "Interface Function Table", version 1.6,
 * which Android's runtime has. Names and types are the specification's. */
#ifndef EDGEDEBLUR_JNI_TABLE_H
#define EDGEDEBLUR_JNI_TABLE_H

#include <stdarg.h>
#include <stdint.h>

#define JNIEXPORT __attribute__((visibility("default")))
#define JNICALL
enum { JNI_FALSE = 0, JNI_TRUE = 1, JNI_OK = 0, JNI_COMMIT = 1, JNI_ABORT = 2 };

typedef uint8_t jboolean;
typedef int8_t jbyte;
typedef uint16_t jchar;
typedef int16_t jshort;
typedef int32_t jint;
typedef int64_t jlong;
typedef float jfloat;
typedef double jdouble;
typedef jint jsize;
typedef void *jobject;
typedef jobject jclass, jstring, jthrowable, jweak, jarray, jobjectArray;
typedef jarray jbooleanArray, jbyteArray, jcharArray, jshortArray, jintArray, jlongArray, jfloatArray, jdoubleArray;
typedef struct jni_field *jfieldID;
typedef struct jni_method *jmethodID;
typedef union {
  jboolean z;
  jbyte b;
  jchar c;
  jshort s;
  jint i;
  jlong j;
  jfloat f;
  jdouble d;
  jobject l;
} jvalue;
typedef struct {
  const char *name;
  const char *signature;
  void *fnPtr;
} JNINativeMethod;

struct JNINativeInterface;
typedef const struct JNINativeInterface *JNIEnv;

/* Functions that exist once for each type: objects, then the eight primitive ones. */
#define JNI_PRIMITIVES(each) \
  each(Boolean, jboolean) each(Byte, jbyte) each(Char, jchar) each(Short, jshort) each(Int, jint) each(Long, jlong) \
  each(Float, jfloat) each(Double, jdouble)
#define JNI_TYPES(each) each(Object, jobject) JNI_PRIMITIVES(each)

/* A call with its arguments as `...`, as a va_list and as an array. */
#define JNI_CALL(name, type, ...) \
  type (*name)(JNIEnv *, __VA_ARGS__, jmethodID, ...); \
  type (*name##V)(JNIEnv *, __VA_ARGS__, jmethodID, va_list); \
  type (*name##A)(JNIEnv *, __VA_ARGS__, jmethodID, const jvalue *);

#define JNI_METHOD(T, type) JNI_CALL(Call##T##Method, type, jobject)
#define JNI_NONVIRTUAL(T, type) JNI_CALL(CallNonvirtual##T##Method, type, jobject, jclass)
#define JNI_STATIC_METHOD(T, type) JNI_CALL(CallStatic##T##Method, type, jclass)
#define JNI_GET(T, type) type (*Get##T##Field)(JNIEnv *, jobject, jfieldID);
#define JNI_SET(T, type) void (*Set##T##Field)(JNIEnv *, jobject, jfieldID, type);
#define JNI_GET_STATIC(T, type) type (*GetStatic##T##Field)(JNIEnv *, jclass, jfieldID);
#define JNI_SET_STATIC(T, type) void (*SetStatic##T##Field)(JNIEnv *, jclass, jfieldID, type);
#define JNI_NEW_ARRAY(T, type) type##Array (*New##T##Array)(JNIEnv *, jsize);
#define JNI_GET_ELEMENTS(T, type) type *(*Get##T##ArrayElements)(JNIEnv *, type##Array, jboolean *);
#define JNI_RELEASE_ELEMENTS(T, type) void (*Release##T##ArrayElements)(JNIEnv *, type##Array, type *, jint);
#define JNI_GET_REGION(T, type) void (*Get##T##ArrayRegion)(JNIEnv *, type##Array, jsize, jsize, type *);
#define JNI_SET_REGION(T, type) void (*Set##T##ArrayRegion)(JNIEnv *, type##Array, jsize, jsize, const type *);

struct JNINativeInterface {
  void *reserved[4];
  jint (*GetVersion)(JNIEnv *);
  jclass (*DefineClass)(JNIEnv *, const char *, jobject, const jbyte *, jsize);
  jclass (*FindClass)(JNIEnv *, const char *);
  jmethodID (*FromReflectedMethod)(JNIEnv *, jobject);
  jfieldID (*FromReflectedField)(JNIEnv *, jobject);
  jobject (*ToReflectedMethod)(JNIEnv *, jclass, jmethodID, jboolean);
  jclass (*GetSuperclass)(JNIEnv *, jclass);
  jboolean (*IsAssignableFrom)(JNIEnv *, jclass, jclass);
  jobject (*ToReflectedField)(JNIEnv *, jclass, jfieldID, jboolean);
  jint (*Throw)(JNIEnv *, jthrowable);
  jint (*ThrowNew)(JNIEnv *, jclass, const char *);
  jthrowable (*ExceptionOccurred)(JNIEnv *);
  void (*ExceptionDescribe)(JNIEnv *);
  void (*ExceptionClear)(JNIEnv *);
  void (*FatalError)(JNIEnv *, const char *);
  jint (*PushLocalFrame)(JNIEnv *, jint);
  jobject (*PopLocalFrame)(JNIEnv *, jobject);
  jobject (*NewGlobalRef)(JNIEnv *, jobject);
  void (*DeleteGlobalRef)(JNIEnv *, jobject);
  void (*DeleteLocalRef)(JNIEnv *, jobject);
  jboolean (*IsSameObject)(JNIEnv *, jobject, jobject);
  jobject (*NewLocalRef)(JNIEnv *, jobject);
  jint (*EnsureLocalCapacity)(JNIEnv *, jint);
  jobject (*AllocObject)(JNIEnv *, jclass);
  JNI_CALL(NewObject, jobject, jclass)
  jclass (*GetObjectClass)(JNIEnv *, jobject);
  jboolean (*IsInstanceOf)(JNIEnv *, jobject, jclass);
  jmethodID (*GetMethodID)(JNIEnv *, jclass, const char *, const char *);
  JNI_TYPES(JNI_METHOD)
  JNI_METHOD(Void, void)
  JNI_TYPES(JNI_NONVIRTUAL)
  JNI_NONVIRTUAL(Void, void)
  jfieldID (*GetFieldID)(JNIEnv *, jclass, const char *, const char *);
  JNI_TYPES(JNI_GET)
  JNI_TYPES(JNI_SET)
  jmethodID (*GetStaticMethodID)(JNIEnv *, jclass, const char *, const char *);
  JNI_TYPES(JNI_STATIC_METHOD)
  JNI_STATIC_METHOD(Void, void)
  jfieldID (*GetStaticFieldID)(JNIEnv *, jclass, const char *, const char *);
  JNI_TYPES(JNI_GET_STATIC)
  JNI_TYPES(JNI_SET_STATIC)
  jstring (*NewString)(JNIEnv *, const jchar *, jsize);
  jsize (*GetStringLength)(JNIEnv *, jstring);
  const jchar *(*GetStringChars)(JNIEnv *, jstring, jboolean *);
  void (*ReleaseStringChars)(JNIEnv *, jstring, const jchar *);
  jstring (*NewStringUTF)(JNIEnv *, const char *);
  jsize (*GetStringUTFLength)(JNIEnv *, jstring);
  const char *(*GetStringUTFChars)(JNIEnv *, jstring, jboolean *);
  void (*ReleaseStringUTFChars)(JNIEnv *, jstring, const char *);
  jsize (*GetArrayLength)(JNIEnv *, jarray);
  jobjectArray (*NewObjectArray)(JNIEnv *, jsize, jclass, jobject);
  jobject (*GetObjectArrayElement)(JNIEnv *, jobjectArray, jsize);
  void (*SetObjectArrayElement)(JNIEnv *, jobjectArray, jsize, jobject);
  JNI_PRIMITIVES(JNI_NEW_ARRAY)
  JNI_PRIMITIVES(JNI_GET_ELEMENTS)
  JNI_PRIMITIVES(JNI_RELEASE_ELEMENTS)
  JNI_PRIMITIVES(JNI_GET_REGION)
  JNI_PRIMITIVES(JNI_SET_REGION)
  jint (*RegisterNatives)(JNIEnv *, jclass, const JNINativeMethod *, jint);
  jint (*UnregisterNatives)(JNIEnv *, jclass);
  jint (*MonitorEnter)(JNIEnv *, jobject);
  jint (*MonitorExit)(JNIEnv *, jobject);
  jint (*GetJavaVM)(JNIEnv *, void **);
  void (*GetStringRegion)(JNIEnv *, jstring, jsize, jsize, jchar *);
  void (*GetStringUTFRegion)(JNIEnv *, jstring, jsize, jsize, char *);
  void *(*GetPrimitiveArrayCritical)(JNIEnv *, jarray, jboolean *);
  void (*ReleasePrimitiveArrayCritical)(JNIEnv *, jarray, void *, jint);
  const jchar *(*GetStringCritical)(JNIEnv *, jstring, jboolean *);
  void (*ReleaseStringCritical)(JNIEnv *, jstring, const jchar *);
  jweak (*NewWeakGlobalRef)(JNIEnv *, jobject);
  void (*DeleteWeakGlobalRef)(JNIEnv *, jweak);
  jboolean (*ExceptionCheck)(JNIEnv *);
  jobject (*NewDirectByteBuffer)(JNIEnv *, void *, jlong);
  void *(*GetDirectBufferAddress)(JNIEnv *, jobject);
  jlong (*GetDirectBufferCapacity)(JNIEnv *, jobject);
  jint (*GetObjectRefType)(JNIEnv *, jobject);
};

#endif
