/* self_test.c: an image that repeats the artefact's tile, and the digest of what the integer interpreter made of it; for
 * the float16 form on a GPU, what float32 made of it. */
#include "self_test.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "sha256.h"
#include "tables.h"

static size_t image_bytes(void) { return (size_t)ed_model_tables[0].height * (size_t)ed_model_tables[0].width * 3; }

/* The tile again and again, from the upper left corner. */
static void fill(const ed_proof *proof, uint8_t *image) {
  const int height = ed_model_tables[0].height, width = ed_model_tables[0].width;
  for (int y = 0; y < height; y++) {
    const uint8_t *from = proof->tile + (size_t)(y % proof->height) * (size_t)proof->width * 3;
    uint8_t *to = image + (size_t)y * (size_t)width * 3;
    for (int x = 0; x < width; x += proof->width) {
      const int pixels = width - x < proof->width ? width - x : proof->width;
      memcpy(to + 3 * (size_t)x, from, 3 * (size_t)pixels);
    }
  }
}

static int check_digest(const ed_proof *proof, const uint8_t *image, const char *name) {
  uint8_t digest[ED_SHA256_BYTES];
  ed_sha256(image, image_bytes(), digest);
  if (memcmp(digest, proof->sha256, sizeof digest) == 0) return 0;
  return ed_fail("self-test: %s restores the artefact's tile to other bytes than the network's", name);
}

static int check_levels(const ed_proof *proof, const uint8_t *image, const char *name) {
  int most = 0;
  for (size_t i = 0; i < image_bytes(); i++) {
    const int levels = abs(image[i] - proof->gpu_image[i]);
    if (levels > most) most = levels;
  }
  if (most <= proof->gpu_levels) return 0;
  return ed_fail("self-test: in fp16 %s restores the artefact's tile up to %d levels from float32's, of which %d are allowed",
                 name, most, proof->gpu_levels);
}

int ed_self_test(ed_run_image run, void *unit, const char *name, bool gpu) {
  const ed_proof *proof = &ed_model_proof;
  if (proof->tile == NULL) return 0;
  uint8_t *in = malloc(image_bytes()), *out = malloc(image_bytes());
  int status = -1;
  if (in == NULL || out == NULL) {
    ed_fail("no memory for the self-test's two images of %zu bytes", image_bytes());
  } else {
    fill(proof, in);
    status = run(unit, in, out);
    const bool half = gpu && proof->gpu_image != NULL;
    if (status == 0) status = half ? check_levels(proof, out, name) : check_digest(proof, out, name);
  }
  free(in);
  free(out);
  return status;
}
