"""An app that shares models between threads, loads them again and again, and makes mistakes; under the sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hetpart.bundle.toolchain import RUNTIME

APPLICATION = r"""
#include <hetpart.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIZE = 24 * 16, RUNS = 100, THREADS = 4 };

static hp_model *models[2];
static const char *path;

static hp_model *load(void)
{
    hp_options options = hp_options_default();
    hp_error error;
    hp_model *model;
    options.plan = "plan-cpu.bin";
    options.cpu_threads = 2;
    options.trace = 1;
    if (hp_load(path, &options, &model, &error)) {
        puts(error.message);
        exit(1);
    }
    return model;
}

/* e = d - x * x with d = 2 * (x * w + 1 + x * x) and w[0] = -2: of each thread's own x, or threads mix */
static void *infer(void *number)
{
    static _Thread_local float x[SIZE], e[SIZE];
    hp_tensor input = {"x", x, sizeof x}, output = {"e", e, sizeof e};
    for (int i = 0; i < RUNS; i++) {
        hp_error error;
        x[0] = (float)(*(int *)number * RUNS + i) / 64;
        if (hp_infer(models[i % 2], &input, 1, &output, 1, &error) || e[0] != x[0] * x[0] - 4 * x[0] + 2) {
            puts("wrong");
            exit(1);
        }
        hp_run_ns(models[i % 2]);
        hp_trace(models[i % 2], "/dev/null", NULL);
    }
    return NULL;
}

static void mistakes(void)
{
    static float x[SIZE], e[SIZE];
    hp_tensor input = {"x", x, sizeof x}, nowhere = {"e", NULL, sizeof e}, unnamed = {NULL, e, sizeof e};
    hp_model *none, *model = models[0];
    printf("%d", hp_load(NULL, NULL, &none, NULL));
    printf(" %d", hp_set_input(model, NULL, x, sizeof x, NULL));
    printf(" %d", hp_set_input(model, "x", NULL, sizeof x, NULL));
    printf(" %d", hp_set_input(model, "x", x, 1, NULL));
    printf(" %d", hp_infer(model, &input, 1, &nowhere, 1, NULL));
    printf(" %d", hp_infer(model, &input, 1, &unnamed, 1, NULL));
    hp_set_input(model, "x", x, sizeof x, NULL);
    printf(" %d\n", hp_infer(model, NULL, 0, NULL, 0, NULL)); /* brings no input, whatever was set before */
    hp_free(NULL);
}

static long resident_pages(void)
{
    long all, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident;
}

int main(int count, char **words)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], loads = count > 2 ? atoi(words[2]) : 0;
    long before = 0;
    path = words[1];
    for (int i = 0; i < loads; i++) {
        hp_free(load());
        if (i == loads / 4)
            before = resident_pages();
    }
    if (loads) {
        printf("%ld\n", (resident_pages() - before) * sysconf(_SC_PAGESIZE));
        return 0;
    }
    models[0] = load();
    models[1] = load();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, infer, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    mistakes();
    hp_free(models[0]);
    hp_free(models[1]);
    return 0;
}
"""

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: zig has no sanitizers' libraries")


def run(folder: Path, toy: Path, *arguments: str, sanitizer: str = "") -> str:
    """What the application prints."""
    (folder / "app.c").write_text(APPLICATION)
    sources = [path for path in sorted((RUNTIME / "src").glob("*.c")) if not path.name.startswith(("run_", "profile_"))]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    flags += [f"-fsanitize={sanitizer}"] if sanitizer else []
    made = subprocess.run(
        ["gcc", *flags, f"-I{RUNTIME / 'include'}", "app.c", *map(str, sources), "-o", "app", "-lpthread", "-ldl"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    environment = os.environ | {"ASAN_OPTIONS": "exitcode=99", "TSAN_OPTIONS": "exitcode=99"}
    done = subprocess.run(
        [folder / "app", toy, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_gcc
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_four_threads_share_two_models_and_mistakes_have_codes(sanitizer: str, toy: Path, tmp_path: Path) -> None:
    bad_argument, no_input = "1", "12"
    assert run(tmp_path, toy, sanitizer=sanitizer).split() == [*[bad_argument] * 6, no_input]


@needs_gcc
def test_loading_a_thousand_times_keeps_no_memory(toy: Path, tmp_path: Path) -> None:
    assert int(run(tmp_path, toy, "1000")) < 1 << 20
