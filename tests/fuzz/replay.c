/* SPDX-License-Identifier: MIT */
/* Runs the target that it is linked with over every file of its corpus, without libFuzzer: what was found
 * once stays found. TAP; a finding aborts the program, and the last line before names its file. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "fuzz.h"
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>

#define FILE_SIZE_MAX (1024 * 1024)

static void replay(const char *directory, const char *name)
{
    _cleanup_free_ char *path = NULL, *data = NULL, *exact = NULL;
    _cleanup_close_ int fd = -EBADF;
    size_t size = 0;

    fuzz_check(asprintf(&path, "%s/%s", directory, name) > 0, "no memory");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    fuzz_check(fd >= 0 && fd_read_all(fd, FILE_SIZE_MAX, &data, &size) == 0, "%s", path);
    exact = fuzz_copy(data, size); /* without the NUL behind it */
    printf("# %s\n", path);
    fflush(stdout);
    tap_report(LLVMFuzzerTestOneInput((const uint8_t *)exact, size) == 0, "%s", name);
}

static int is_case(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(void)
{
    struct dirent **entries;
    int n = scandir(FUZZ_CORPUS, &entries, is_case, alphasort);

    tap_report(n > 0, "%s has cases", FUZZ_CORPUS);
    for (int i = 0; i < n; i++) {
        replay(FUZZ_CORPUS, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return tap_done();
}
