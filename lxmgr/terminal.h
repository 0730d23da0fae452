#pragma once
#include <termios.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "lxd-daemon/base/result.h"

/// The user's terminal: what it is, raw mode, and the line of progress on stderr.
namespace lxmgr::cli {

struct WindowSize {
    int width = 0;  ///< columns; 0: unknown
    int height = 0;
};
/// Of the terminal behind the descriptor; zeros when it is none.
WindowSize window_size(int fd);

/// Puts a terminal into raw mode and back when destroyed.
class RawMode {
public:
    static Result<RawMode> enter(int fd);
    RawMode(RawMode&& other) noexcept : fd_(other.fd_), saved_(other.saved_) { other.fd_ = -1; }
    RawMode& operator=(RawMode&&) = delete;
    ~RawMode();

private:
    RawMode(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
    int fd_;
    termios saved_;
};

/// A text for the terminal with what could steer it (escape sequences out of image descriptions, file names)
/// made harmless: control characters become '?'.
std::string printable(std::string_view text);

/// One line on stderr that says what goes on, redrawn in place. Silent unless stderr is a terminal, and
/// silent for the first half second: quick work stays quiet.
class Progress {
public:
    explicit Progress(std::string doing);
    Progress(Progress&&) = delete;
    ~Progress() { clear(); }
    /// True when there is a terminal to draw on.
    [[nodiscard]] bool wanted() const { return wanted_; }
    /// Draws the next frame with this detail ("42%"); does nothing before its time.
    void tick(std::string_view detail);
    /// Removes the line.
    void clear();

private:
    std::string doing_;
    bool wanted_;
    bool drawn_ = false;
    unsigned frame_ = 0;
    std::chrono::steady_clock::time_point begun_;
    std::chrono::steady_clock::time_point next_;
};

/// Keeps a Progress moving while the program blocks in a request; gone, line and all, when destroyed.
class Spinner {
public:
    explicit Spinner(std::string doing);

private:
    Progress progress_;
    std::jthread thread_;  ///< none when nobody watches
};

/// Quiet mode (-q): Progress draws nothing, tell() says nothing.
void set_quiet(bool quiet);
bool quiet();
/// A line on stdout about what was done, unless quiet.
void tell(std::string_view line);
/// A line on stderr for people, only when stderr is a terminal and not quiet.
void hint(std::string_view line);
/// "Error: ..." on stderr.
void print_error(std::string_view message);
/// "Warning: ..." on stderr.
void warn(std::string_view line);
bool is_terminal(int fd);

}  // namespace lxmgr::cli
