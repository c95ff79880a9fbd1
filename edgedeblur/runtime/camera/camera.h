/* camera.h: what ed_run_frame keeps from frame to frame. */
#ifndef EDGEDEBLUR_CAMERA_H
#define EDGEDEBLUR_CAMERA_H

typedef struct ed_camera ed_camera;

/* `camera` may be NULL. */
void ed_camera_destroy(ed_camera *camera);

#endif
