#include "lxmgr/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/text_width.h"

namespace lxmgr::cli {
namespace {

constexpr auto kTerminalQuietStart = std::chrono::milliseconds{500};
constexpr auto kTerminalFrameTime = std::chrono::milliseconds{100};
constexpr std::array kFrames{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};

bool quiet_mode = false;

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

WindowSize window_size(int fd) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return {};
    return {size.ws_col, size.ws_row};
}

Result<RawMode> RawMode::enter(int fd) {
    termios saved{};
    if (::tcgetattr(fd, &saved) != 0) return fail_errno("tcgetattr", "terminal");
    termios raw = saved;
    ::cfmakeraw(&raw);
    if (::tcsetattr(fd, TCSANOW, &raw) != 0) return fail_errno("tcsetattr", "terminal");
    return RawMode(fd, saved);
}

RawMode::~RawMode() {
    if (fd_ >= 0) ::tcsetattr(fd_, TCSANOW, &saved_);
}

std::string printable(std::string_view text) {
    std::string out(text);
    if (!is_utf8(text))
        std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
    std::ranges::replace_if(
        out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    // U+0080..U+009F are control characters too (C1), two bytes in UTF-8.
    for (std::size_t i = 0; i + 1 < out.size(); ++i) {
        if (out[i] == '\xc2' && static_cast<unsigned char>(out[i + 1]) < 0xa0) out.replace(i, 2, 1, '?');
    }
    return out;
}

Progress::Progress(std::string doing)
    : doing_(printable(doing)),
      wanted_(!quiet_mode && !doing_.empty() && is_terminal(STDERR_FILENO)),
      begun_(std::chrono::steady_clock::now()),
      next_(begun_ + kTerminalQuietStart) {}

void Progress::tick(std::string_view detail) {
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || now < next_) return;
    next_ = now + kTerminalFrameTime;
    std::string line = fmt::format("{} {}", kFrames[frame_++ % kFrames.size()], doing_);
    if (!detail.empty()) line += fmt::format(": {}", printable(detail));
    const int columns = window_size(STDERR_FILENO).width;
    if (columns > 1) line = truncate_width(line, static_cast<std::size_t>(columns - 1));
    fmt::print(stderr, "\r\x1b[K{}", line);
    drawn_ = true;
}

void Progress::clear() {
    if (std::exchange(drawn_, false)) fmt::print(stderr, "\r\x1b[K");
}

Spinner::Spinner(std::string doing) : progress_(std::move(doing)) {
    if (!progress_.wanted()) return;
    thread_ = std::jthread([this](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any stopped;
        std::unique_lock lock(mutex);
        while (!stopped.wait_for(lock, stop, kTerminalFrameTime, [&stop] { return stop.stop_requested(); }))
            progress_.tick({});
    });
}

void set_quiet(bool quiet) { quiet_mode = quiet; }
bool quiet() { return quiet_mode; }

void tell(std::string_view line) {
    if (quiet_mode) return;
    fmt::print("{}\n", printable(line));
    std::fflush(stdout);
}

void hint(std::string_view line) {
    if (!quiet_mode && is_terminal(STDERR_FILENO)) fmt::print(stderr, "{}\n", printable(line));
}

void print_error(std::string_view message) { fmt::print(stderr, "Error: {}\n", printable(message)); }

void warn(std::string_view line) { fmt::print(stderr, "Warning: {}\n", printable(line)); }

}  // namespace lxmgr::cli
