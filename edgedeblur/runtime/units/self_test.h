/* self_test.h: whether what computes gives the bytes that the network was compiled to give. */
#ifndef EDGEDEBLUR_SELF_TEST_H
#define EDGEDEBLUR_SELF_TEST_H

#include <stdbool.h>
#include <stdint.h>

/* Restores one image on whatever `unit` is; 0, or -1 with an error. */
typedef int (*ed_run_image)(void *unit, const uint8_t *rgb_in, uint8_t *rgb_out);

/* Restores the image that the artefact's tile makes and compares the digest; on a GPU with kernels of the float16 form,
 * every byte with that of the image in float32. 0 where it is right, and for programs without a tile (those of `tune`);
 * -1 with an error that names the unit. Takes memory for two images meanwhile. */
int ed_self_test(ed_run_image run, void *unit, const char *name, bool gpu);

#endif
