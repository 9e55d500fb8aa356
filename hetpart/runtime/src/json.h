/* JSON strings, for the files that the runtime and its programs write. */
#ifndef HP_JSON_H
#define HP_JSON_H

#include <stdio.h>

/* `text`, quoted. It may hold quotes and control characters, and has to be UTF-8. */
void hp_json_string(FILE *file, const char *text);

#endif
