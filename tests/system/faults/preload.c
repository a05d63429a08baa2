/* Faults for one process, loaded into it by LD_PRELOAD and steered while it runs.
 *
 * The file that FAULTS_FILE names is mapped as a struct faults; whoever else maps it decides what
 * fails, and reads how often it has. Only regular files whose path begins with `path` are concerned.
 * Without that variable nothing changes. See control.py, which has the same fields.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct faults {
    _Atomic int64_t sync_ms;     /* a sync takes so much longer */
    _Atomic int64_t sync_held;   /* not 0: a sync does not end */
    _Atomic int64_t sync_errno;  /* what a sync fails with; 0: it does not */
    _Atomic int64_t write_errno; /* what writing, growing and reserving fail with */
    _Atomic int64_t open_errno;  /* what opening to write, and making, fail with */
    _Atomic int64_t left;        /* so many calls more fail; negative: all */
    _Atomic int64_t clock_ns;    /* how far the time of day is ahead of the truth */
    _Atomic int64_t waiting;     /* told: syncs that take longer just now */
    _Atomic int64_t syncs;       /* told: syncs that were asked for */
    _Atomic int64_t failed;      /* told: calls that failed */
    _Atomic int64_t clock_reads; /* told: how often the time of day was read */
    char path[4096 - 11 * 8];
};

static struct faults *faults;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("FAULTS_FILE");
    if (name == NULL)
        return;
    int descriptor = open(name, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        abort();
    void *mapped = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped == MAP_FAILED)
        abort();
    faults = mapped;
}

/* The function of that name that this library hides. */
#define HIDDEN(result, name, ...)                                          \
    static result (*hidden)(__VA_ARGS__);                                  \
    if (hidden == NULL)                                                    \
        hidden = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int is_concerned(const char *path)
{
    return faults->path[0] == '/' && strncmp(path, faults->path, strlen(faults->path)) == 0;
}

static int is_file_concerned(int descriptor)
{
    char link[64], path[PATH_MAX];
    int kept = errno, concerned = 0;
    struct stat status;
    if (faults->path[0] == '/' && fstat(descriptor, &status) == 0 &&
        (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            concerned = is_concerned(path);
        }
    }
    errno = kept;
    return concerned;
}

/* The error of this call, if calls of its kind fail now and any are left to fail. */
static int error_of(_Atomic int64_t *kind)
{
    int64_t error = *kind;
    if (error == 0)
        return 0;
    for (int64_t left = faults->left; left >= 0;) {
        if (left == 0)
            return 0;
        if (atomic_compare_exchange_weak(&faults->left, &left, left - 1))
            break;
    }
    faults->failed++;
    return (int)error;
}

static int fails_to_write(int descriptor)
{
    if (faults == NULL || faults->write_errno == 0 || !is_file_concerned(descriptor))
        return 0;
    return error_of(&faults->write_errno);
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fails_to_sync(int descriptor)
{
    const struct timespec moment = {0, 1000000};
    if (faults == NULL || (descriptor >= 0 && !is_file_concerned(descriptor)))
        return 0;
    faults->syncs++;
    if (faults->sync_held || faults->sync_ms) {
        int64_t began = monotonic_ms();
        faults->waiting++;
        while (faults->sync_held || monotonic_ms() - began < faults->sync_ms)
            nanosleep(&moment, NULL);
        faults->waiting--;
    }
    return error_of(&faults->sync_errno);
}

#define FAIL(error, value) \
    do {                   \
        errno = (error);   \
        return (value);    \
    } while (0)

#define SYNC(name)                              \
    int name(int descriptor)                    \
    {                                           \
        HIDDEN(int, name, int);                 \
        int error = fails_to_sync(descriptor);  \
        if (error)                              \
            FAIL(error, -1);                    \
        return hidden(descriptor);              \
    }
SYNC(fsync)
SYNC(fdatasync)

int sync_file_range(int descriptor, off64_t offset, off64_t size, unsigned int flags)
{
    HIDDEN(int, sync_file_range, int, off64_t, off64_t, unsigned int);
    int error = fails_to_sync(descriptor);
    if (error)
        FAIL(error, -1);
    return hidden(descriptor, offset, size, flags);
}

int msync(void *address, size_t size, int flags)
{
    HIDDEN(int, msync, void *, size_t, int);
    int error = fails_to_sync(-1);
    if (error)
        FAIL(error, -1);
    return hidden(address, size, flags);
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    HIDDEN(ssize_t, write, int, const void *, size_t);
    int error = fails_to_write(descriptor);
    if (error)
        FAIL(error, -1);
    return hidden(descriptor, data, size);
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count)
{
    HIDDEN(ssize_t, writev, int, const struct iovec *, int);
    int error = fails_to_write(descriptor);
    if (error)
        FAIL(error, -1);
    return hidden(descriptor, pieces, count);
}

#define PWRITE(name, offset_t)                                             \
    ssize_t name(int descriptor, const void *data, size_t size, offset_t offset) \
    {                                                                      \
        HIDDEN(ssize_t, name, int, const void *, size_t, offset_t);        \
        int error = fails_to_write(descriptor);                            \
        if (error)                                                         \
            FAIL(error, -1);                                               \
        return hidden(descriptor, data, size, offset);                     \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

/* To cut a file needs no room on the disk. */
#define TRUNCATE(name, offset_t)                                              \
    int name(int descriptor, offset_t size)                                   \
    {                                                                         \
        struct stat status;                                                   \
        HIDDEN(int, name, int, offset_t);                                     \
        int error = 0;                                                        \
        if (faults != NULL && (faults->write_errno != ENOSPC ||               \
                               (fstat(descriptor, &status) == 0 && size > status.st_size))) \
            error = fails_to_write(descriptor);                               \
        if (error)                                                            \
            FAIL(error, -1);                                                  \
        return hidden(descriptor, size);                                      \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define FALLOCATE(name, offset_t)                                          \
    int name(int descriptor, int mode, offset_t offset, offset_t size)     \
    {                                                                      \
        HIDDEN(int, name, int, int, offset_t, offset_t);                   \
        int error = fails_to_write(descriptor);                            \
        if (error)                                                         \
            FAIL(error, -1);                                               \
        return hidden(descriptor, mode, offset, size);                     \
    }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

#define POSIX_FALLOCATE(name, offset_t)                                    \
    int name(int descriptor, offset_t offset, offset_t size)               \
    {                                                                      \
        HIDDEN(int, name, int, offset_t, offset_t);                        \
        int error = fails_to_write(descriptor);                            \
        return error ? error : hidden(descriptor, offset, size);           \
    }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

/* Files in a folder that was opened itself are left alone: nobody here asks for them so. */
static int fails_to_open(const char *path, int flags)
{
    char whole[2 * PATH_MAX];
    if (faults == NULL || faults->open_errno == 0)
        return 0;
    if (path[0] != '/' && getcwd(whole, PATH_MAX) != NULL)
        path = strncat(strcat(whole, "/"), path, PATH_MAX - 2);
    if (!is_concerned(path))
        return 0;
    if (!(flags & (O_CREAT | O_WRONLY | O_RDWR)))
        return 0;
    return error_of(&faults->open_errno);
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                       \
    int name(const char *path, int flags, ...)           \
    {                                                    \
        HIDDEN(int, name, const char *, int, ...);       \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        mode_t mode = mode_of(flags, rest);              \
        va_end(rest);                                    \
        int error = fails_to_open(path, flags);          \
        if (error)                                       \
            FAIL(error, -1);                             \
        return hidden(path, flags, mode);                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                           \
    int name(int folder, const char *path, int flags, ...)     \
    {                                                          \
        HIDDEN(int, name, int, const char *, int, ...);        \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode_t mode = mode_of(flags, rest);                    \
        va_end(rest);                                          \
        int error = fails_to_open(path, flags);                \
        if (error)                                             \
            FAIL(error, -1);                                   \
        return hidden(folder, path, flags, mode);              \
    }
OPENAT(openat)
OPENAT(openat64)

static int64_t ahead_ns(void)
{
    if (faults == NULL)
        return 0;
    faults->clock_reads++;
    return faults->clock_ns;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    HIDDEN(int, clock_gettime, clockid_t, struct timespec *);
    int outcome = hidden(clock, now);
    if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + ahead_ns();
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return outcome;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    int outcome = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return outcome;
}

time_t time(time_t *place)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (place != NULL)
        *place = exact.tv_sec;
    return exact.tv_sec;
}
