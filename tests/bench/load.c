// Closed-loop GET load on a unix socket: load SOCKET TARGET CONNECTIONS SECONDS
// Each connection sends its next request when the reply is whole. Prints: requests/s, median and p99 in microseconds.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kMaxSamples = 4000000 };

struct connection {
    int fd;
    double sent;
    char* data;
    size_t size, capacity;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char* what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct connection* c, const char* request, size_t size) {
    c->size = 0;
    c->sent = now();
    if (write(c->fd, request, size) != (ssize_t)size) die("write");
}

// 1 when the whole reply is there.
static int complete(const struct connection* c) {
    char* end = memmem(c->data, c->size, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    if (memcmp(c->data, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "load: the reply is %.60s\n", c->data);
        exit(1);
    }
    size_t head = (size_t)(end - c->data) + 4;
    for (char* line = c->data; line < end; line = memchr(line, '\n', c->size - (size_t)(line - c->data)) + 1)
        if (strncasecmp(line, "content-length:", 15) == 0) return c->size >= head + strtoul(line + 15, NULL, 10);
    return c->size >= 5 && memcmp(c->data + c->size - 5, "0\r\n\r\n", 5) == 0;
}

static int receive(struct connection* c) {
    if (c->capacity - c->size < 65536 && (c->data = realloc(c->data, c->capacity += 1 << 20)) == NULL) die("realloc");
    ssize_t got = read(c->fd, c->data + c->size, c->capacity - c->size);
    if (got <= 0) die("read");
    c->size += (size_t)got;
    return complete(c);
}

static int by_value(const void* a, const void* b) {
    float x = *(const float*)a, y = *(const float*)b;
    return (x > y) - (x < y);
}

int main(int argc, char** argv) {
    if (argc != 5) return 2;
    int count = atoi(argv[3]), poll_fd = epoll_create1(0);
    char request[512];
    size_t request_size = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: lxd\r\n\r\n", argv[2]);
    struct connection* all = calloc((size_t)count, sizeof *all);
    float* samples = malloc(kMaxSamples * sizeof *samples);
    for (int i = 0; i < count; ++i) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
        all[i].fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr*)&address, sizeof address) != 0) die("connect");
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    size_t done = 0;
    double began = now(), until = began + atof(argv[4]);
    for (int i = 0; i < count; ++i) send_request(&all[i], request, request_size);
    while (now() < until && done < kMaxSamples) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll_fd, events, 64, 60000);
        for (int i = 0; i < ready && done < kMaxSamples; ++i) {
            struct connection* c = events[i].data.ptr;
            if (!receive(c)) continue;
            samples[done++] = (float)((now() - c->sent) * 1e6);
            send_request(c, request, request_size);
        }
    }
    double seconds = now() - began;
    qsort(samples, done, sizeof *samples, by_value);
    if (done == 0) return 1;
    printf("%.1f %.1f %.1f\n", (double)done / seconds, samples[done / 2], samples[done * 99 / 100]);
    return 0;
}
