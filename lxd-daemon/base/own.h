#pragma once
#include <unistd.h>

#include <functional>
#include <utility>
#include <vector>

namespace lxmgr {

/// Owns one file descriptor; -1 is none.
class UniqueFd {
public:
    explicit UniqueFd(int fd = -1) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~UniqueFd() { reset(); }
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
    explicit operator bool() const noexcept { return valid(); }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset(int fd = -1) noexcept {  // never retried: Linux frees the number even on EINTR, close(2)
        if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
    }

private:
    int fd_;
};

/// Undo steps, run newest first unless commit() was called. A step must not throw.
class Revert {
public:
    Revert() = default;
    Revert(Revert&&) = delete;
    ~Revert() {
        for (; !steps_.empty(); steps_.pop_back()) steps_.back()();
    }
    void add(std::move_only_function<void()> step) { steps_.push_back(std::move(step)); }
    void commit() noexcept { steps_.clear(); }

private:
    std::vector<std::move_only_function<void()>> steps_;
};

}  // namespace lxmgr
