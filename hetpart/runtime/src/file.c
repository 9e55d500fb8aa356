/* Files of a bundle, read whole or mapped, and zeroed memory by the page. */
#include "file.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 }; /* a divisor of every page size in use */

char *hp_join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) {
        snprintf(path, bytes, "%s/%s", folder, name);
    }
    return path;
}

bool hp_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Opens a regular file; `*bytes` is its length. Returns -1 on failure. */
static int open_regular(const char *path, size_t *bytes, hp_error *error)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        hp_fail(error, HP_FILE, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        hp_fail(error, HP_FILE, "%s: not a regular file", path);
        close(descriptor);
        return -1;
    }
    *bytes = (size_t)status.st_size;
    return descriptor;
}

hp_code hp_read_file(const char *path, char **data, size_t *bytes, hp_error *error)
{
    hp_code code = HP_OK;
    size_t total, done = 0;
    int descriptor = open_regular(path, &total, error);
    if (descriptor < 0) {
        return HP_FILE;
    }
    char *buffer = malloc(total + 1);
    if (!buffer) {
        code = hp_fail(error, HP_MEMORY, "%s: no memory for %zu bytes", path, total);
    }
    while (!code && done < total) {
        ssize_t count = read(descriptor, buffer + done, total - done);
        if (count > 0) {
            done += (size_t)count;
        } else if (count == 0) {
            code = hp_fail(error, HP_FILE, "%s: ended after %zu of %zu bytes", path, done, total);
        } else if (errno != EINTR) {
            code = hp_fail(error, HP_FILE, "%s: %s", path, strerror(errno));
        }
    }
    close(descriptor);
    if (code) {
        free(buffer);
        return code;
    }
    buffer[total] = '\0';
    *data = buffer;
    *bytes = total;
    return HP_OK;
}

hp_code hp_map_file(const char *path, size_t bytes, struct mapping *mapping, hp_error *error)
{
    hp_code code = HP_OK;
    size_t total;
    int descriptor = open_regular(path, &total, error);
    if (descriptor < 0) {
        return HP_FILE;
    }
    if (total != bytes) {
        code = hp_fail(error, HP_FILE, "%s: has %zu bytes, the plan expects %zu", path, total, bytes);
    } else if (bytes) {
        void *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED) {
            code = hp_fail(error, HP_MEMORY, "%s: cannot be mapped: %s", path, strerror(errno));
        } else {
            *mapping = (struct mapping){data, bytes};
        }
    }
    close(descriptor);
    return code;
}

hp_code hp_map_zeros(size_t bytes, struct mapping *mapping, hp_error *error)
{
    if (bytes > SIZE_MAX - PAGE) {
        return hp_fail(error, HP_MEMORY, "no memory for an arena of %zu bytes", bytes);
    }
    size_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    if (rounded) {
        void *data = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) {
            return hp_fail(error, HP_MEMORY, "no memory for an arena of %zu bytes", bytes);
        }
        *mapping = (struct mapping){data, rounded};
    }
    return HP_OK;
}

void hp_unmap(struct mapping *mapping)
{
    if (mapping->data) {
        munmap(mapping->data, mapping->bytes);
    }
    *mapping = (struct mapping){NULL, 0};
}
