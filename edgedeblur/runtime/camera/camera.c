/* camera.c: ed_run_frame: a camera's frame of any size, tile by tile.
 *
 *     for tile:                   rows of tiles from the top, each from the left
 *       read                      its pixels, upright and as RGB, in one tile of memory
 *       restore                   the network, into another one
 *       finish                    what no later tile covers is blended and written; the rest waits as sums
 *
 * So beside the frames there are two tiles as RGB, and the sums of one overlap to the right and one below: no copy of
 * the frame. All sums are exact integers: tiles.h's weights add up to 2^8 along either axis. */
#include "camera.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_unit.h"
#include "error.h"
#include "instance.h"
#include "mask.h"
#include "pixels.h"
#include "tables.h"
#include "tiles.h"

enum { DEFAULT_OVERLAP = 64, CHANNELS = 3, READ_ROWS = 8, FINISH_PAIRS = 4, SUM_BITS = 16 };

/* Where a frame of this size is cut, and the memory for it. */
struct ed_camera {
  int height, width, overlap; /* upright; 0 before the first frame */
  int size;                   /* of the tiles: ed_size */
  ed_axis rows, columns;
  uint8_t *in, *out; /* a tile */
  uint16_t *side;    /* sums along the row of what the next tile covers too: tile rows x side_columns */
  uint32_t *below;   /* sums of what the next row of tiles covers too: below_rows, used in turn, x width */
  int side_columns, below_rows;
  int computed;
};

/* One frame on its way, and the tile that it has come to. */
typedef struct {
  ed_model *model;
  const ed_camera *camera;
  ed_picture from, to;
  int rotation;
  ed_mask mask;
  bool keeps; /* pixels outside of the mask are copied as YUV */
  int row, column;
  int first_y, last_y; /* rows to finish now */
} frame_job;

static void release(ed_camera *camera) {
  ed_axis_free(&camera->rows);
  ed_axis_free(&camera->columns);
  free(camera->in);
  free(camera->out);
  free(camera->side);
  free(camera->below);
  *camera = (ed_camera){0};
}

void ed_camera_destroy(ed_camera *camera) {
  if (camera == NULL) return;
  release(camera);
  free(camera);
}

/* The size of tile for the frame: the fewest pixels computed, then the fewest tiles, then the first.
 * edgedeblur/tiles.py's choose_tile is the same. */
static int choose_size(int height, int width, int overlap) {
  const ed_tables *sizes = ed_cpu_tables();
  int best = 0;
  int64_t fewest = INT64_MAX, fewest_tiles = INT64_MAX;
  for (int i = 0; i < ed_sizes(); i++) {
    const int64_t tiles = (int64_t)ed_tile_count(height, sizes[i].height, overlap, sizes[i].multiple) *
                          ed_tile_count(width, sizes[i].width, overlap, sizes[i].multiple);
    const int64_t pixels = tiles * sizes[i].height * sizes[i].width;
    if (pixels > fewest || (pixels == fewest && tiles >= fewest_tiles)) continue;
    fewest = pixels;
    fewest_tiles = tiles;
    best = i;
  }
  return best;
}

static int allocate(ed_camera *camera) {
  const ed_tables *tables = &ed_cpu_tables()[camera->size];
  const size_t tile = (size_t)tables->height * (size_t)tables->width * CHANNELS;
  camera->side_columns = ed_axis_waiting(&camera->columns);
  camera->below_rows = ed_axis_waiting(&camera->rows) + 2; /* rows come in pairs */
  camera->in = malloc(tile);
  camera->out = calloc(tile, 1); /* a tile that is left out leaves what was there */
  camera->side =
      calloc(((size_t)tables->height + 1) * (size_t)(camera->side_columns + 1) * CHANNELS, sizeof *camera->side);
  camera->below = calloc((size_t)camera->below_rows * (size_t)camera->width * CHANNELS, sizeof *camera->below);
  if (camera->in != NULL && camera->out != NULL && camera->side != NULL && camera->below != NULL) return 0;
  return ed_fail("no memory for frames of %dx%d", camera->width, camera->height);
}

static int cut(ed_camera *camera, int height, int width, int overlap) {
  release(camera);
  camera->size = choose_size(height, width, overlap);
  const ed_tables *tables = &ed_cpu_tables()[camera->size];
  camera->width = width;
  camera->overlap = overlap;
  if (ed_axis_cut(&camera->rows, height, tables->height, overlap, tables->multiple) != 0 ||
      ed_axis_cut(&camera->columns, width, tables->width, overlap, tables->multiple) != 0 || allocate(camera) != 0) {
    release(camera);
    return -1;
  }
  camera->height = height;
  return 0;
}

/* The instance's camera, ready for frames of that upright size. NULL with an error where there is no memory. */
static ed_camera *prepare(ed_model *model, int height, int width, int overlap) {
  if (model->camera == NULL) model->camera = calloc(1, sizeof *model->camera);
  ed_camera *camera = model->camera;
  if (camera == NULL) return ed_fail("no memory"), NULL;
  const bool same = camera->height == height && camera->width == width && camera->overlap == overlap;
  return same || cut(camera, height, width, overlap) == 0 ? camera : NULL;
}

static void read_row(const frame_job *job, int row) {
  const ed_axis *columns = &job->camera->columns;
  const int start = columns->starts[job->column];
  const int begin = ed_axis_begin(columns, job->column), end = ed_axis_end(columns, job->column);
  const int y = ed_axis_source(&job->camera->rows, job->camera->rows.starts[job->row] + row);
  uint8_t *rgb = job->camera->in + (size_t)row * (size_t)columns->tile * CHANNELS;
  if (begin < end) ed_read_rgb(&job->from, job->rotation, y, begin, end - begin, rgb + (begin - start) * CHANNELS);
  for (int i = 0; i < columns->tile; i++) {
    if (start + i >= begin && start + i < end) continue;
    ed_read_rgb(&job->from, job->rotation, y, ed_axis_source(columns, start + i), 1, rgb + i * CHANNELS);
  }
}

static int read_task(int task, TVMParallelGroupEnv *group, void *closure) {
  (void)group;
  const frame_job *job = closure;
  for (int row = task * READ_ROWS; row < (task + 1) * READ_ROWS && row < job->camera->rows.tile; row++)
    read_row(job, row);
  return 0;
}

/* The weighted sums along a row of what is restored so far, of `count` pixels from (y, x). */
static void sum_along(const frame_job *job, int y, int x, int count, uint16_t *sums) {
  const ed_camera *camera = job->camera;
  const ed_axis *rows = &camera->rows, *columns = &camera->columns;
  const int start = columns->starts[job->column], from = ed_axis_done(columns, job->column - 1);
  const int side_end = job->column > 0 ? ed_axis_end(columns, job->column - 1) : 0;
  const uint16_t *side =
      camera->side + (size_t)(y - ed_axis_done(rows, job->row - 1)) * (size_t)camera->side_columns * CHANNELS;
  for (int i = 0; i < count; i++) {
    const bool waited = x + i < side_end;
    for (int c = 0; c < CHANNELS; c++) sums[CHANNELS * i + c] = waited ? side[(x + i - from) * CHANNELS + c] : 0;
  }
  const int row = y - rows->starts[job->row], skipped = x < start ? start - x : 0;
  if (row < 0) return; /* an odd row before the tile, which begins pairs */
  const uint16_t *weights = columns->weights + (ptrdiff_t)job->column * columns->tile;
  const uint8_t *tile = camera->out + (ptrdiff_t)row * columns->tile * CHANNELS;
  for (int i = skipped; i < count; i++) {
    const int at = x + i - start;
    for (int c = 0; c < CHANNELS; c++) {
      sums[CHANNELS * i + c] = (uint16_t)(sums[CHANNELS * i + c] + weights[at] * tile[at * CHANNELS + c]);
    }
  }
}

static uint8_t rounded(uint32_t sum) { /* half to even, as NumPy's rint */
  return (uint8_t)((sum + (1u << (SUM_BITS - 1)) - 1 + ((sum >> SUM_BITS) & 1)) >> SUM_BITS);
}

/* From sums along the row to finished pixels in `rgb`, or to sums that wait for the row of tiles below. */
static void sum_down(const frame_job *job, int y, int x, int count, const uint16_t *sums, uint8_t *rgb) {
  const ed_camera *camera = job->camera;
  const ed_axis *rows = &camera->rows;
  const int row = y - rows->starts[job->row];
  const uint32_t weight = row < 0 ? 0 : rows->weights[(ptrdiff_t)job->row * rows->tile + row];
  const bool waited = job->row > 0 && y < ed_axis_end(rows, job->row - 1), done = y < ed_axis_done(rows, job->row);
  uint32_t *below = camera->below + ((size_t)(y % camera->below_rows) * (size_t)camera->width + (size_t)x) * CHANNELS;
  for (int i = 0; i < CHANNELS * count; i++) {
    const uint32_t sum = (waited ? below[i] : 0) + weight * sums[i];
    if (done) rgb[i] = rounded(sum);
    else below[i] = sum;
  }
}

/* Whether the tile alone counts for pixels of a row, which then need no sums. */
static bool alone(const frame_job *job, int y, int x, int count) {
  const ed_axis *rows = &job->camera->rows, *columns = &job->camera->columns;
  const int row = y - rows->starts[job->row], at = x - columns->starts[job->column];
  if (row < 0 || at < 0 || rows->weights[(ptrdiff_t)job->row * rows->tile + row] != ED_STEPS) return false;
  const uint16_t *weights = columns->weights + (ptrdiff_t)job->column * columns->tile + at;
  for (int i = 0; i < count; i++) {
    if (weights[i] != ED_STEPS) return false;
  }
  return true;
}

static const uint8_t *restored(const frame_job *job, int y, int x) {
  const ed_axis *rows = &job->camera->rows, *columns = &job->camera->columns;
  const ptrdiff_t row = y - rows->starts[job->row], column = x - columns->starts[job->column];
  return job->camera->out + (row * columns->tile + column) * CHANNELS;
}

/* Writes finished pixels, as much of them as the mask says. */
static void write_pixels(const frame_job *job, int y, int rows, int x, int count, ed_line *rgb) {
  uint8_t mask[2][ED_CHUNK], alpha[2][ED_CHUNK];
  ed_line values[2], before;
  for (int row = 0; row < rows; row++) {
    if (job->to.alpha) ed_read_alpha(&job->from, job->rotation, y + row, x, count, alpha[row]);
    if (job->mask.values == NULL) continue;
    ed_mask_read(&job->mask, y + row, x, count, mask[row]);
    ed_read_rgb(&job->from, job->rotation, y + row, x, count, before);
    if (job->keeps) ed_read_values(&job->from, job->rotation, y + row, x, count, values[row]);
    for (int i = 0; i < CHANNELS * count; i++) {
      const int share = mask[row][i / CHANNELS];
      rgb[row][i] = (uint8_t)((rgb[row][i] * share + before[i] * (255 - share) + 127) / 255);
    }
  }
  const ed_kept kept = {.values = job->keeps ? values : NULL, .mask = mask, .alpha = alpha};
  ed_write(&job->to, y, rows, x, count, rgb, &kept);
}

/* One or two rows of the tile, by chunks that end where what is finished ends. */
static void finish_pair(const frame_job *job, int y, int rows) {
  const ed_camera *camera = job->camera;
  const ed_axis *columns = &camera->columns;
  const int done = ed_axis_done(columns, job->column), end = ed_axis_end(columns, job->column);
  for (int x = ed_axis_done(columns, job->column - 1), count; x < end; x += count) {
    const int limit = x < done ? done : end;
    count = limit - x < ED_CHUNK ? limit - x : ED_CHUNK;
    ed_line rgb[2];
    for (int row = 0; row < rows; row++) {
      uint16_t sums[ED_CHUNK * CHANNELS];
      if (x < done && y + row < ed_axis_done(&camera->rows, job->row) && alone(job, y + row, x, count)) {
        memcpy(rgb[row], restored(job, y + row, x), (size_t)count * CHANNELS);
        continue;
      }
      sum_along(job, y + row, x, count, sums);
      if (x < done) {
        sum_down(job, y + row, x, count, sums, rgb[row]);
        continue;
      }
      const size_t tile_row = (size_t)(y + row - ed_axis_done(&camera->rows, job->row - 1));
      uint16_t *side = camera->side + (tile_row * (size_t)camera->side_columns + (size_t)(x - done)) * CHANNELS;
      for (int i = 0; i < CHANNELS * count; i++) side[i] = sums[i];
    }
    if (x < done && y < ed_axis_done(&camera->rows, job->row)) write_pixels(job, y, rows, x, count, rgb);
  }
}

static int finish_task(int task, TVMParallelGroupEnv *group, void *closure) {
  (void)group;
  const frame_job *job = closure;
  const int first = job->first_y + 2 * FINISH_PAIRS * task;
  for (int y = first; y < first + 2 * FINISH_PAIRS && y < job->last_y; y += 2) {
    finish_pair(job, y, job->last_y - y < 2 ? 1 : 2);
  }
  return 0;
}

static int finish_rows(frame_job *job, int first, int last) {
  job->first_y = first;
  job->last_y = last;
  return ed_launch(job->model, finish_task, job, (last - first + 2 * FINISH_PAIRS - 1) / (2 * FINISH_PAIRS));
}

/* First the rows that wait for this tile, so that their places are free for those that wait for the next one. */
static int finish(frame_job *job) {
  const ed_axis *rows = &job->camera->rows;
  const int first = ed_axis_done(rows, job->row - 1), last = ed_axis_end(rows, job->row);
  const int waited = job->row > 0 ? ed_axis_end(rows, job->row - 1) : first;
  int between = first + (waited - first + 1) / 2 * 2;
  if (between > last) between = last;
  if (between > first && finish_rows(job, first, between) != 0) return -1;
  return last > between ? finish_rows(job, between, last) : 0;
}

/* The positions of a tile that count, [first, last). */
static void counted(const ed_axis *axis, int index, int *first, int *last) {
  const uint16_t *weights = axis->weights + (ptrdiff_t)index * axis->tile;
  *first = ed_axis_begin(axis, index);
  *last = ed_axis_end(axis, index);
  while (*first < *last && weights[*first - axis->starts[index]] == 0) ++*first;
  while (*last > *first && weights[*last - 1 - axis->starts[index]] == 0) --*last;
}

static int run_tile(ed_camera *camera, frame_job *job) {
  int top, bottom, left, right;
  counted(&camera->rows, job->row, &top, &bottom);
  counted(&camera->columns, job->column, &left, &right);
  if (ed_mask_reaches(&job->mask, top, bottom, left, right)) {
    if (ed_launch(job->model, read_task, job, (camera->rows.tile + READ_ROWS - 1) / READ_ROWS) != 0) return -1;
    if (ed_restore(job->model, camera->size, camera->in, camera->out) != 0) return -1;
    camera->computed++;
  }
  return finish(job);
}

static int run_tiles(ed_camera *camera, frame_job *job) {
  job->camera = camera;
  camera->computed = 0;
  for (job->row = 0; job->row < camera->rows.count; job->row++) {
    for (job->column = 0; job->column < camera->columns.count; job->column++) {
      if (run_tile(camera, job) != 0) return -1;
    }
  }
  return 0;
}

static int set_mask(frame_job *job, const ed_frame_options *options) {
  if (options->mask == NULL) return 0;
  const int stride = options->mask_stride != 0 ? options->mask_stride : options->mask_width;
  if (options->mask_width < 1 || options->mask_height < 1 || stride < options->mask_width) {
    return ed_fail("a mask of %dx%d, rows %d bytes apart", options->mask_width, options->mask_height, stride);
  }
  job->mask.values = options->mask;
  job->mask.rows = options->mask_height;
  job->mask.columns = options->mask_width;
  job->mask.stride = stride;
  const bool same = job->from.matrix == job->to.matrix && job->from.range == job->to.range;
  job->keeps = job->from.yuv && job->to.yuv && same;
  return 0;
}

static int describe(frame_job *job, const ed_frame *in, const ed_frame *out, const ed_frame_options *options) {
  if (ed_picture_open(&job->from, in, "input") != 0 || ed_picture_open(&job->to, out, "output") != 0) return -1;
  job->rotation = options->rotation;
  if (job->rotation < 0 || job->rotation > 270 || job->rotation % 90 != 0) {
    return ed_fail("a rotation by %d degrees; 0, 90, 180 and 270 can be had", job->rotation);
  }
  const bool turned = job->rotation % 180 != 0;
  const int height = turned ? in->width : in->height, width = turned ? in->height : in->width;
  if (out->height != height || out->width != width) {
    return ed_fail("an output of %dx%d for an input that is %dx%d upright", out->width, out->height, width, height);
  }
  if (ed_pictures_overlap(&job->from, &job->to)) return ed_fail("input and output frame overlap");
  if (options->overlap < 0) return ed_fail("an overlap of %d pixels", options->overlap);
  job->mask.height = height;
  job->mask.width = width;
  return set_mask(job, options);
}

int ed_run_frame(ed_model *model, const ed_frame *in, const ed_frame *out, const ed_frame_options *options) {
  static const ed_frame_options defaults;
  if (model == NULL) return ed_fail("NULL is no model");
  if (options == NULL) options = &defaults;
  frame_job job = {.model = model};
  if (describe(&job, in, out, options) != 0 || ed_begin(model) != 0) return -1;
  const int overlap = options->overlap != 0 ? options->overlap : DEFAULT_OVERLAP;
  ed_camera *camera = prepare(model, out->height, out->width, overlap);
  int status;
  do status = ed_end(model, camera != NULL ? run_tiles(camera, &job) : -1);
  while (status == ED_AGAIN);
  return status;
}

int ed_frame_tiles(const ed_model *model) { return model->camera != NULL ? model->camera->computed : 0; }
