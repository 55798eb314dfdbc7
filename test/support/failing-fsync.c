/* Preloaded into the service: while the file named by FAIL_FSYNC_WHILE exists, fsync and fdatasync of files whose path
   contains one of the texts in it (a line each) fail with EIO, and what was written stays in doubt. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd) {
  const char *list = getenv("FAIL_FSYNC_WHILE");
  FILE *file = list == NULL ? NULL : fopen(list, "r");
  if (file == NULL) return 0;
  char link[64], path[4096], text[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  int found = 0;
  path[length < 0 ? 0 : length] = 0;
  while (!found && fgets(text, sizeof text, file) != NULL) {
    text[strcspn(text, "\n")] = 0;
    found = text[0] != 0 && strstr(path, text) != NULL;
  }
  fclose(file);
  if (found) errno = EIO;
  return found;
}

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  return fails(fd) ? -1 : real(fd);
}
