/* headroom.h: how near the machine is to throttling. */
#ifndef EDGEDEBLUR_HEADROOM_H
#define EDGEDEBLUR_HEADROOM_H

/* ed_thermal_headroom, with the folder of the thermal zones, which it takes from /sys/class/thermal. */
double ed_headroom(int forecast_seconds, const char *zones);

#endif
