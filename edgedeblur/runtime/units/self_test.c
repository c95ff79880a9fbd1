/* self_test.c: an image that repeats the artefact's tile, and the digest of what the integer interpreter made of it. */
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

int ed_self_test(ed_run_image run, void *unit, const char *name) {
  const ed_proof *proof = &ed_model_proof;
  if (proof->tile == NULL) return 0;
  uint8_t *in = malloc(image_bytes()), *out = malloc(image_bytes());
  int status = -1;
  if (in == NULL || out == NULL) {
    ed_fail("no memory for the self-test's two images of %zu bytes", image_bytes());
  } else {
    uint8_t digest[ED_SHA256_BYTES];
    fill(proof, in);
    status = run(unit, in, out);
    if (status == 0) ed_sha256(out, image_bytes(), digest);
    if (status == 0 && memcmp(digest, proof->sha256, sizeof digest) != 0) {
      status = ed_fail("self-test: %s restores the artefact's tile to other bytes than the network's", name);
    }
  }
  free(in);
  free(out);
  return status;
}
