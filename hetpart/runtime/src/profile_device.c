#include "profile_device.h"

#include "json.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Python's hetpart.profile.machine asks in the same way. */
static void processor_name(char *name, size_t size)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && !*name && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (value && (strncmp(line, "model name", 10) == 0 || strncmp(line, "Hardware", 8) == 0)) {
            value += 1 + strspn(value + 1, " \t");
            snprintf(name, size, "%.*s", (int)strcspn(value, "\r\n"), value);
        }
    }
    if (file) {
        fclose(file);
    }
}

void hp_write_device(FILE *file, const char *given)
{
    char name[256] = "";
    struct utsname system = {0};
    char described[sizeof system.sysname + sizeof system.release + sizeof system.machine + 2];
    processor_name(name, sizeof name);
    uname(&system);
    snprintf(described, sizeof described, "%s-%s-%s", system.sysname, system.release, system.machine);
    fprintf(file, "\"processor\":");
    hp_json_string(file, given ? given : *name ? name : system.machine);
    fprintf(file, ",\"system\":");
    hp_json_string(file, described);
    fprintf(file, ",\"cores\":%ld", sysconf(_SC_NPROCESSORS_CONF));
}

void hp_write_load(FILE *file)
{
    char text[128] = "", *end = text;
    FILE *load = fopen("/proc/loadavg", "r");
    if (load) {
        end = fgets(text, sizeof text, load) ? text : text + strlen(text);
        fclose(load);
    }
    fprintf(file, "[");
    for (int i = 0; i < 3 && *end; i++) {
        size_t length = strcspn(end, " \n"); /* digits and a point, whatever the locale */
        fprintf(file, "%s%.*s", i ? "," : "", (int)length, end);
        end += length + strspn(end + length, " \n");
    }
    fprintf(file, "]");
}
