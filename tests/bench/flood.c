// TCP throughput: flood sink PORT        accepts one connection, reads to its end, prints the bytes
//                 flood source PORT SECONDS [ADDRESS]   connects to 127.0.0.1, or that, and sends for that long
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 18];

static void die(const char* what) {
    fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) die("socket");
    unsigned long long bytes = 0;
    if (strcmp(argv[1], "sink") == 0) {
        address.sin_addr.s_addr = htonl(INADDR_ANY);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 16) != 0) die("listen");
        printf("up\n");
        fflush(stdout);
        int peer = accept(fd, NULL, NULL);
        if (peer < 0) die("accept");
        double began = now();
        for (ssize_t got; (got = read(peer, buffer, sizeof buffer)) > 0;) bytes += (unsigned long long)got;
        printf("%llu %.3f\n", bytes, now() - began);
        return 0;
    }
    if (argc < 4 || (argc > 4 && inet_pton(AF_INET, argv[4], &address.sin_addr) != 1)) return 2;
    if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) die("connect");
    for (double until = now() + atof(argv[3]); now() < until;)
        if (write(fd, buffer, sizeof buffer) < 0) die("write");
    return 0;
}
