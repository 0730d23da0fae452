// Closed-loop GET load: load SOCKET TARGET CONNECTIONS SECONDS                on a unix socket
//                       load PORT TARGET CONNECTIONS SECONDS CERTIFICATE KEY  over TLS, on 127.0.0.1
// Each connection sends its next request when the reply is whole. Prints: requests/s, median and p99 in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
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
    SSL* tls;  // NULL: none
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
    ssize_t sent = c->tls ? SSL_write(c->tls, request, (int)size) : write(c->fd, request, size);
    if (sent != (ssize_t)size) die("write");
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

// What epoll says of a descriptor is nothing of what TLS has decrypted already.
static int has_more(const struct connection* c) { return c->tls && SSL_pending(c->tls) > 0; }

static int receive(struct connection* c) {
    if (c->capacity - c->size < 65536 && (c->data = realloc(c->data, c->capacity += 1 << 20)) == NULL) die("realloc");
    do {
        size_t room = c->capacity - c->size;
        ssize_t got = c->tls ? SSL_read(c->tls, c->data + c->size, (int)room) : read(c->fd, c->data + c->size, room);
        if (got <= 0) die("read");
        c->size += (size_t)got;
    } while (has_more(c) && c->size < c->capacity);
    return complete(c);
}

static void connect_unix(struct connection* c, const char* path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr*)&address, sizeof address) != 0) die("connect");
}

static void connect_tls(struct connection* c, SSL_CTX* context, const char* port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr*)&address, sizeof address) != 0) die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->fd);
    if (SSL_connect(c->tls) != 1) die("TLS");
}

static int by_value(const void* a, const void* b) {
    float x = *(const float*)a, y = *(const float*)b;
    return (x > y) - (x < y);
}

int main(int argc, char** argv) {
    if (argc != 5 && argc != 7) return 2;
    SSL_CTX* context = NULL;
    if (argc == 7) {
        context = SSL_CTX_new(TLS_client_method());
        if (SSL_CTX_use_certificate_file(context, argv[5], SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, argv[6], SSL_FILETYPE_PEM) != 1)
            die("certificate");
    }
    int count = atoi(argv[3]), poll_fd = epoll_create1(0);
    char request[512];
    size_t request_size = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: lxd\r\n\r\n", argv[2]);
    struct connection* all = calloc((size_t)count, sizeof *all);
    float* samples = malloc(kMaxSamples * sizeof *samples);
    for (int i = 0; i < count; ++i) {
        if (context) {
            connect_tls(&all[i], context, argv[1]);
        } else {
            connect_unix(&all[i], argv[1]);
        }
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
    if (done == 0) {
        fprintf(stderr, "load: no reply in %s s\n", argv[4]);
        return 1;
    }
    printf("%.1f %.1f %.1f\n", (double)done / seconds, samples[done / 2], samples[done * 99 / 100]);
    return 0;
}
