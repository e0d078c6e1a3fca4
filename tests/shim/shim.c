// A disk that has not synced yet: preloaded into the broker, it stands between the store and the
// kernel for everything below one folder. Not a file system, and not the thing that loses data: what
// it needs for that it writes down, and the test takes the unsynced writes back after the kill
// (tests/src/crash/disk.rs).
//
// Every write goes through at once, so reads, other descriptors, mmap and stat see it as usual. Before
// it does, what it replaces is appended to an undo log of that inode, outside of the folder. A sync of
// the file empties its log. A log that is still there after SIGKILL is exactly what a power cut could
// take away. The same for names: create, unlink and rename are undone unless their directory was
// synced.
//
// WARREN_SHIM_DIR            only files below this folder, given without symbolic links
// WARREN_SHIM_UNDO           where the undo logs go, on the same file system; unset: nothing is taken back
// WARREN_SHIM_SYNC_DELAY_MS  every sync takes this long before it begins
// WARREN_SHIM_EIO_FILE       while this file exists, every sync fails with EIO
//
// Limits: a rename by a raw system call (crate tempfile, hence fjall's `current`) is not seen and takes
// effect at once, so do mkdir, rmdir, link, truncate by path, fallocate and stores into shared mappings;
// fjall and lsm-tree use none of the last three. sync_file_range promises nothing and counts for nothing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x57415252u
#define ZEROS 1u
#define CHUNK (1u << 20)

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_renameat2)(int, const char *, int, const char *, unsigned);

static char dir[PATH_MAX];
static size_t dir_len;
static const char *undo;
static const char *eio_file;
static long delay_ms;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// One log of undo records: of a file's contents, or of the names in a directory.
struct log {
    dev_t dev;
    ino_t ino;
    mode_t type;
    int fd;
    uint64_t kept;
    pthread_mutex_t lock;
    struct log *next;
};

#define BUCKETS 1024
static struct log *logs[BUCKETS];
static pthread_mutex_t logs_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t kept_names;

struct record {
    uint32_t magic;
    uint32_t flags;
    uint64_t offset;
    uint64_t length;   // octets of the write
    uint64_t old_size; // of the file before it
    uint64_t saved;    // octets that follow, what stood from offset on (none with ZEROS)
};

static void die(const char *what) {
    // A shim that cannot keep its promise must not let a test pass.
    dprintf(2, "shim: %s: %s\n", what, strerror(errno));
    abort();
}

static void *find(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) die(name);
    return found;
}

static void load(void) {
    real_write = find("write");
    real_writev = find("writev");
    real_pwrite = find("pwrite64");
    real_pwritev = find("pwritev64");
    real_ftruncate = find("ftruncate64");
    real_fsync = find("fsync");
    real_fdatasync = find("fdatasync");
    real_openat = find("openat64");
    real_unlinkat = find("unlinkat");
    real_renameat2 = find("renameat2");
    const char *value = getenv("WARREN_SHIM_DIR");
    if (value && snprintf(dir, sizeof dir, "%s/", value) < (int)sizeof dir) dir_len = strlen(dir);
    undo = getenv("WARREN_SHIM_UNDO");
    eio_file = getenv("WARREN_SHIM_EIO_FILE");
    value = getenv("WARREN_SHIM_SYNC_DELAY_MS");
    delay_ms = value ? atol(value) : 0;
}

__attribute__((constructor)) static void start(void) { pthread_once(&once, load); }

static void ready(void) { pthread_once(&once, load); }

// The folder itself counts: its names matter.
static int is_below(const char *path) {
    if (!dir_len) return 0;
    if (strncmp(path, dir, dir_len) == 0) return 1;
    return strlen(path) == dir_len - 1 && strncmp(path, dir, dir_len - 1) == 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static struct log *known(const struct stat *stat) {
    mode_t type = stat->st_mode & S_IFMT;
    for (struct log *log = logs[stat->st_ino % BUCKETS]; log; log = log->next)
        if (log->ino == stat->st_ino && log->dev == stat->st_dev && log->type == type) return log;
    return NULL;
}

// With 'd' in its name a log is one of names, with 'f' one of contents. Entries are never freed: the
// number of a removed file may come back, and then serves again.
static struct log *log_of(const struct stat *stat) {
    pthread_mutex_lock(&logs_lock);
    struct log *log = known(stat);
    if (!log) {
        log = calloc(1, sizeof *log);
        if (!log) die("calloc");
        log->dev = stat->st_dev;
        log->ino = stat->st_ino;
        log->type = stat->st_mode & S_IFMT;
        log->fd = -1;
        pthread_mutex_init(&log->lock, NULL);
        log->next = logs[log->ino % BUCKETS];
        logs[log->ino % BUCKETS] = log;
        if (undo) {
            char path[PATH_MAX];
            char kind = S_ISDIR(stat->st_mode) ? 'd' : 'f';
            snprintf(path, sizeof path, "%s/%c%llu", undo, kind, (unsigned long long)log->ino);
            log->fd = real_openat(AT_FDCWD, path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
            if (log->fd < 0) die(path);
        }
    }
    pthread_mutex_unlock(&logs_lock);
    return log;
}

// The log of a file or folder that is ours, or none. Errno stays as it was.
static struct log *ours(int fd, struct stat *stat) {
    ready();
    if (!dir_len) return NULL;
    int before = errno;
    struct log *found = NULL;
    if (fstat(fd, stat) == 0 && (S_ISREG(stat->st_mode) || S_ISDIR(stat->st_mode))) {
        pthread_mutex_lock(&logs_lock);
        found = known(stat);
        pthread_mutex_unlock(&logs_lock);
        char path[PATH_MAX];
        if (!found && path_of(fd, path) && is_below(path)) found = log_of(stat);
    }
    errno = before;
    return found;
}

static void append(struct log *log, const struct record *record, const char *saved) {
    size_t more = saved ? record->saved : 0;
    struct iovec parts[2] = {{(void *)record, sizeof *record}, {(void *)saved, more}};
    if (real_writev(log->fd, parts, 2) != (ssize_t)(sizeof *record + more)) die("undo log");
    log->kept++;
}

// Writes down what `length` octets at `offset` replace. Called with the log locked.
static void save(struct log *log, int fd, uint64_t offset, uint64_t length, uint64_t old_size) {
    uint64_t end = offset + length < old_size ? offset + length : old_size;
    if (offset >= end) {
        struct record record = {MAGIC, ZEROS, offset, length, old_size, 0};
        append(log, &record, NULL);
        return;
    }
    // The descriptor may be one for writing only.
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int source = real_openat(AT_FDCWD, self, O_RDONLY | O_CLOEXEC);
    if (source < 0) die("open for undo");
    char *buffer = malloc(CHUNK);
    if (!buffer) die("malloc");
    for (uint64_t at = offset; at < end;) {
        uint64_t wanted = end - at < CHUNK ? end - at : CHUNK;
        ssize_t got = pread(source, buffer, wanted, (off_t)at);
        if (got <= 0) die("read for undo");
        int zeros = buffer[0] == 0 && memcmp(buffer, buffer + 1, (size_t)got - 1) == 0;
        struct record record = {MAGIC, zeros ? ZEROS : 0, at, (uint64_t)got, old_size, (uint64_t)got};
        append(log, &record, zeros ? NULL : buffer);
        at += (uint64_t)got;
    }
    free(buffer);
    close(source);
}

static void save_write(struct log *log, int fd, off_t offset, size_t length) {
    struct stat stat;
    if (log->fd < 0 || length == 0) return;
    if (fstat(fd, &stat) != 0) die("fstat");
    if (fcntl(fd, F_GETFL) & O_APPEND) offset = stat.st_size;
    else if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
    save(log, fd, (uint64_t)offset, length, (uint64_t)stat.st_size);
}

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

#define RECORDED(fd, offset, length, call)          \
    struct stat stat_;                              \
    struct log *log_ = ours(fd, &stat_);            \
    if (!log_ || !S_ISREG(stat_.st_mode)) return call; \
    pthread_mutex_lock(&log_->lock);                \
    save_write(log_, fd, offset, length);           \
    ssize_t done_ = call;                           \
    int errno_ = errno;                             \
    pthread_mutex_unlock(&log_->lock);              \
    errno = errno_;                                 \
    return done_

ssize_t write(int fd, const void *octets, size_t length) {
    RECORDED(fd, -1, length, real_write(fd, octets, length));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    RECORDED(fd, -1, total(parts, count), real_writev(fd, parts, count));
}

ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t offset) {
    RECORDED(fd, offset, length, real_pwrite(fd, octets, length, offset));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    RECORDED(fd, offset, total(parts, count), real_pwritev(fd, parts, count, offset));
}

ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset) {
    return pwrite64(fd, octets, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t size) {
    struct stat stat;
    struct log *log = ours(fd, &stat);
    if (!log || !S_ISREG(stat.st_mode)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&log->lock);
    if (log->fd >= 0 && fstat(fd, &stat) == 0) {
        uint64_t cut = size < stat.st_size ? (uint64_t)(stat.st_size - size) : 0;
        save(log, fd, (uint64_t)size, cut, (uint64_t)stat.st_size);
    }
    int done = real_ftruncate(fd, size);
    int error = errno;
    pthread_mutex_unlock(&log->lock);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int sync_with(int fd, int (*real)(int)) {
    struct stat stat;
    struct log *log = ours(fd, &stat);
    if (!log) {
        ready();
        return real(fd);
    }
    if (delay_ms > 0) {
        struct timespec rest = {delay_ms / 1000, delay_ms % 1000 * 1000000};
        while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {}
    }
    if (eio_file && access(eio_file, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    // Held meanwhile: a write that ends before the sync begins is covered by it, no other is.
    pthread_mutex_lock(&log->lock);
    int done = real(fd);
    int error = errno;
    if (done == 0 && log->kept > 0) {
        if (real_ftruncate(log->fd, 0) != 0) die("undo log");
        log->kept = 0;
    }
    pthread_mutex_unlock(&log->lock);
    errno = error;
    return done;
}

int fsync(int fd) {
    ready();
    return sync_with(fd, real_fsync);
}

int fdatasync(int fd) {
    ready();
    return sync_with(fd, real_fdatasync);
}

// Names. A record is a line: what to do, an inode, and paths, each ended by a zero octet.

// The whole path, with its folder's symbolic links resolved; false when the folder is not ours.
static int whole_path(int at, const char *name, char *path, struct log **log) {
    char folder[PATH_MAX], base[PATH_MAX];
    ready();
    if (!dir_len || !undo) return 0;
    if (name[0] != '/' && at != AT_FDCWD) {
        if (!path_of(at, base)) return 0;
        if (snprintf(folder, sizeof folder, "%s/%s", base, name) >= (int)sizeof folder) return 0;
    } else if (snprintf(folder, sizeof folder, "%s", name) >= (int)sizeof folder) {
        return 0;
    }
    char *slash = strrchr(folder, '/');
    const char *last = slash ? slash + 1 : folder;
    char own[PATH_MAX];
    snprintf(own, sizeof own, "%s", last);
    if (slash == folder) folder[1] = 0;
    else if (slash) *slash = 0;
    else strcpy(folder, ".");
    if (!realpath(folder, base) || !is_below(base)) return 0;
    struct stat stat;
    if (stat64(base, (struct stat64 *)&stat) != 0) return 0;
    *log = log_of(&stat);
    return snprintf(path, PATH_MAX, "%s/%s", base, own) < PATH_MAX;
}

static void note(struct log *log, char what, ino_t ino, const char *one, const char *two) {
    char line[2 * PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%c%llu", what, (unsigned long long)ino);
    length += 1 + snprintf(line + length + 1, sizeof line - (size_t)length - 1, "%s", one);
    length += 1 + snprintf(line + length + 1, sizeof line - (size_t)length - 1, "%s", two);
    length += 1;
    if (real_write(log->fd, line, (size_t)length) != length) die("undo log");
    log->kept++;
}

// The file keeps living under another name, so that its own can come back.
static void keep(struct log *log, const char *path) {
    struct stat stat;
    char kept[PATH_MAX];
    if (lstat(path, &stat) != 0 || !S_ISREG(stat.st_mode)) return;
    uint64_t number = __atomic_add_fetch(&kept_names, 1, __ATOMIC_RELAXED);
    snprintf(kept, sizeof kept, "%s/k%d-%llu", undo, getpid(), (unsigned long long)number);
    if (link(path, kept) != 0) die(kept);
    note(log, 'K', stat.st_ino, path, kept);
}

static int open_noted(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct log *folder = NULL;
    ready();
    if (!(flags & (O_CREAT | O_TRUNC)) || !whole_path(at, name, path, &folder))
        return real_openat(at, name, flags, mode);
    int before = errno;
    struct stat stat;
    pthread_mutex_lock(&folder->lock);
    int is_new = lstat(path, &stat) != 0;
    errno = before;
    // Emptied by our own ftruncate, which keeps what was in it.
    int fd = real_openat(at, name, flags & ~O_TRUNC, mode);
    int error = errno;
    struct log *file = fd >= 0 && is_new ? ours(fd, &stat) : NULL;
    if (file && S_ISREG(stat.st_mode)) {
        // The number may have been another file's.
        if (real_ftruncate(file->fd, 0) != 0) die("undo log");
        file->kept = 0;
        note(folder, 'C', stat.st_ino, path, "");
    }
    pthread_mutex_unlock(&folder->lock);
    errno = error;
    if (fd >= 0 && !is_new && (flags & O_TRUNC) && ftruncate64(fd, 0) != 0) die("O_TRUNC");
    return fd;
}

#define MODE(flags, last)                     \
    mode_t mode = 0;                          \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                         \
        va_start(rest, last);                 \
        mode = va_arg(rest, mode_t);          \
        va_end(rest);                         \
    }

int open64(const char *name, int flags, ...) {
    MODE(flags, flags)
    return open_noted(AT_FDCWD, name, flags, mode);
}

int open(const char *name, int flags, ...) {
    MODE(flags, flags)
    return open_noted(AT_FDCWD, name, flags, mode);
}

int openat64(int at, const char *name, int flags, ...) {
    MODE(flags, flags)
    return open_noted(at, name, flags, mode);
}

int openat(int at, const char *name, int flags, ...) {
    MODE(flags, flags)
    return open_noted(at, name, flags, mode);
}

int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    struct log *folder = NULL;
    if ((flags & AT_REMOVEDIR) || !whole_path(at, name, path, &folder)) {
        ready();
        return real_unlinkat(at, name, flags);
    }
    pthread_mutex_lock(&folder->lock);
    keep(folder, path);
    int done = real_unlinkat(at, name, flags);
    int error = errno;
    pthread_mutex_unlock(&folder->lock);
    errno = error;
    return done;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old_path[PATH_MAX], new_path[PATH_MAX];
    struct log *source = NULL, *target = NULL;
    struct stat stat;
    if (!whole_path(from_at, from, old_path, &source) || !whole_path(to_at, to, new_path, &target) ||
        lstat(old_path, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        ready();
        return real_renameat2(from_at, from, to_at, to, flags);
    }
    // Noted with the new name's folder; across folders its sync would have to wait for both.
    pthread_mutex_lock(&target->lock);
    if (!(flags & RENAME_NOREPLACE)) keep(target, new_path);
    note(target, 'R', stat.st_ino, old_path, new_path);
    int done = real_renameat2(from_at, from, to_at, to, flags);
    int error = errno;
    pthread_mutex_unlock(&target->lock);
    errno = error;
    return done;
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
