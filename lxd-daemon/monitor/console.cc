#include "lxd-daemon/monitor/console.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "lxd-daemon/monitor/ring.h"

namespace lxmgr::monitor {
namespace {

constexpr std::size_t kMaxClients = 16;

int master = -1;
int slave = -1;  ///< one end stays open: else the guest's last close would hang the pty up for good
int ring = -1;
wire::RingHeader header{wire::kRingMagic, 0, 0};
int clients[kMaxClients];
std::size_t client_count = 0;

void write_ring(const char* data, std::size_t size) {
    // A full disk costs the log, not the console: results are not looked at.
    for (std::size_t done = 0; done < size;) {
        const std::uint64_t at = (header.total + done) % wire::kRingBytes;
        const std::size_t part = size - done < wire::kRingBytes - at ? size - done : wire::kRingBytes - at;
        if (::pwrite(ring, data + done, part, static_cast<off_t>(wire::kRingData + at)) < 0) break;
        done += part;
    }
    header.total += size;
    (void)!::pwrite(ring, &header.total, sizeof header.total, offsetof(wire::RingHeader, total));
}

/// A question that a program asks its terminal, and what a VT220 of 80x24 says.
struct Question {
    const char* asked;
    const char* answer;
};
constexpr Question kQuestions[] = {
    {"\x1b[18t", "\x1b[8;24;80t"},  // size of the text area
    {"\x1b[6n", "\x1b[24;80R"},     // cursor position: systemd puts it at the far corner first
    {"\x1b[5n", "\x1b[0n"},         // status
    {"\x1b[c", "\x1b[?62;c"},       // device attributes
    {"\x1b[0c", "\x1b[?62;c"},
    {"\x1bP+q", "\x1bP0+r\x1b\\"},  // XTGETTCAP, systemd 257: no such capability
};

/// Finds questions in the output, also those that two reads cut in half.
class Listener {
public:
    void feed(const char* data, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            if (data[i] == '\x1b') length_ = 0;
            if (length_ == 0 && data[i] != '\x1b') continue;
            held_[length_++] = data[i];
            if (!answer() && length_ == sizeof held_) length_ = 0;
        }
    }
    void forget() { length_ = 0; }

private:
    bool answer() {
        for (const Question& question : kQuestions) {
            if (std::strlen(question.asked) != length_ || std::memcmp(question.asked, held_, length_) != 0)
                continue;
            (void)!::write(master, question.answer, std::strlen(question.answer));
            length_ = 0;
            return true;
        }
        return false;
    }
    char held_[8];
    std::size_t length_ = 0;
};
Listener listener;

void reopen_slave() {
    if (slave >= 0) ::close(slave);
    slave = ::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

}  // namespace

void set_console_ring(int file) {
    ring = file;
    (void)!::pwrite(ring, &header, sizeof header, 0);
}

void set_console_master(int fd) {
    master = fd;
    ::fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    reopen_slave();
}

int console_master() { return master; }

bool read_console() {
    char buffer[8192];
    const ssize_t size = ::read(master, buffer, sizeof buffer);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (size <= 0) {
        // vhangup(2), as every getty does, took our slave too. A new one brings the pty back.
        reopen_slave();
        return slave >= 0;
    }
    write_ring(buffer, static_cast<std::size_t>(size));
    if (client_count == 0) {
        listener.feed(buffer, static_cast<std::size_t>(size));
        return true;
    }
    listener.forget();
    for (std::size_t i = 0; i < client_count; ++i) {
        // A client that does not read loses output, as on a serial line: it must not hold up the guest.
        (void)!::send(clients[i], buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return true;
}

bool add_console_client(int stream) {
    if (client_count == kMaxClients) return false;
    clients[client_count++] = stream;
    return true;
}

ClientInput read_console_client(int stream) {
    // Taken from the socket only as far as the tty took it: a paste waits there until the guest reads.
    char buffer[1024];
    const ssize_t size = ::recv(stream, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return ClientInput::taken;
    if (size <= 0) return ClientInput::gone;
    const ssize_t written = ::write(master, buffer, static_cast<std::size_t>(size));
    if (written < 0) return errno == EAGAIN ? ClientInput::blocked : ClientInput::gone;
    (void)!::recv(stream, buffer, static_cast<std::size_t>(written), MSG_DONTWAIT);
    return written == 0 ? ClientInput::blocked : ClientInput::taken;
}

void remove_console_client(int stream) {
    for (std::size_t i = 0; i < client_count; ++i) {
        if (clients[i] == stream) clients[i--] = clients[--client_count];
    }
}

void resize_console(unsigned columns, unsigned rows) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    ::ioctl(master, TIOCSWINSZ, &size);
}

}  // namespace lxmgr::monitor
