/* What a profile says of the device that it was measured on. */
#ifndef HP_PROFILE_DEVICE_H
#define HP_PROFILE_DEVICE_H

#include <stdio.h>

/* Members of a JSON object: processor (`given`, or what the system calls it), system and number of cores. */
void hp_write_device(FILE *file, const char *given);

/* The load averages as a JSON list; empty where the system keeps them to itself. */
void hp_write_load(FILE *file);

#endif
