#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

/// The messages between daemon and monitor, on SOCK_SEQPACKET sockets: one header and one body a message,
/// descriptors beside it. Plain enough for both a program with exceptions and one without: no heap, no
/// libstdc++ symbols. A monitor outlives the daemon that started it, so the meaning of a type never changes:
/// new needs get new types, or numbers at the end, which read as 0 where they are absent.
namespace lxmgr::wire {

constexpr std::uint32_t kMagic = 0x314d584c;               // "LXM1"
constexpr std::size_t kMaxMessage = std::size_t{1} << 20;  ///< header included
constexpr std::size_t kMaxFds = 250;                       ///< the kernel's SCM_MAX_FD is 253
constexpr std::size_t kMaxStrings = 8192;                  ///< argv and environment of one program together
constexpr const char* kSocketName = "monitor.sock";        ///< in the container's run directory
constexpr const char* kExitName = "exit";  ///< how init ended, for a daemon that was not there

enum class Type : std::uint32_t {
    // Daemon to monitor, on the control socket that the monitor is started with.
    start = 1,  ///< StartSpec and its descriptors
    go = 2,     ///< commit: from here on the container outlives the daemon
    // Daemon to monitor, first message of a connection to monitor.sock.
    watch = 3,    ///< answered by state; then events
    exec = 4,     ///< ExecSpec and stdin, stdout, stderr; answered by exec_started or failed; later exec_end
    console = 5,  ///< + stream socket; answered by done or failed
    resize = 6,   ///< u32 columns, u32 rows; answered by done
    cgroups = 7,  ///< + cgroup.procs files that a new seat must join; answered by done
    // Daemon to monitor, later on an exec connection.
    exec_signal = 8,  ///< u32 signal number
    // Monitor to daemon.
    spawned = 32,  ///< u32 pid + pidfd, network namespace
    started = 33,  ///< init was exec'd: u64 started_at_ns
    failed = 34,   ///< u32 Step, u32 errno, u32 detail (which attachment)
    state = 35,    ///< u32 pid, u32 ready, u64 started_at_ns, u64 ready_at_ns + pidfd
    ready = 36,    ///< init sent READY=1: u64 ready_at_ns
    done = 37,
    exec_started = 38,  ///< u32 pid, + pty master when one was asked for
    exec_end = 39,      ///< u32 exit code
    // Between the monitor and its children only.
    mapped = 64,    ///< the id maps are written
    prepared = 65,  ///< + pty master, devpts directory, notify socket when there is one
    seated = 66,    ///< the seat can take commands; + listener of its filter of intercepted calls, if any
    listens = 67,   ///< + listener of init's
};

// Flags of a start message.
constexpr std::uint32_t kPrivileged = 1;   ///< no user namespace
constexpr std::uint32_t kNesting = 2;      ///< containers may run inside
constexpr std::uint32_t kSeccompLate = 4;  ///< the filter is loaded just before execve
constexpr std::uint32_t kPlaced = 8;       ///< the monitor is in the container's v1 cgroups already

struct Header {
    std::uint32_t magic;
    Type type;
};

/// Builds a message in a buffer of the caller's. Overflow is sticky: ok() tells.
class Writer {
public:
    Writer(void* buffer, std::size_t capacity, Type type)
        : at_(static_cast<char*>(buffer)), left_(capacity), start_(at_) {
        const Header header{kMagic, type};
        raw(&header, sizeof header);
    }
    void u32(std::uint32_t value) { raw(&value, sizeof value); }
    void u64(std::uint64_t value) { raw(&value, sizeof value); }
    void bytes(const void* data, std::size_t size) {
        u32(static_cast<std::uint32_t>(size));
        raw(data, size);
    }
    /// A string that holds no zero byte; one is added, so that the reader can use it in place.
    void text(const char* data, std::size_t size) {
        if (size != 0 && std::memchr(data, 0, size) != nullptr) ok_ = false;
        u32(static_cast<std::uint32_t>(size));
        raw(data, size);
        raw("", 1);
    }
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] const char* data() const { return start_; }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(at_ - start_); }

private:
    void raw(const void* data, std::size_t size) {
        if (!ok_ || size > left_) {
            ok_ = false;
            return;
        }
        if (size != 0) std::memcpy(at_, data, size);
        at_ += size;
        left_ -= size;
    }
    char* at_;
    std::size_t left_;
    char* start_;
    bool ok_ = true;
};

/// Reads a message in place. Every length is checked against what is there; a fault is sticky and yields
/// zeros.
class Reader {
public:
    Reader(const char* data, std::size_t size) : at_(data), left_(size) {
        Header header{};
        raw(&header, sizeof header);
        if (header.magic != kMagic) ok_ = false;
        type_ = header.type;
    }
    [[nodiscard]] Type type() const { return type_; }
    std::uint32_t u32() {
        std::uint32_t value = 0;
        raw(&value, sizeof value);
        return value;
    }
    std::uint64_t u64() {
        std::uint64_t value = 0;
        raw(&value, sizeof value);
        return value;
    }
    const void* bytes(std::size_t& size) {
        size = u32();
        const char* found = take(size);
        if (found == nullptr) size = 0;
        return found;
    }
    const char* text() {
        const std::size_t size = u32();
        const char* found = size < kMaxMessage ? take(size + 1) : nullptr;
        if (found == nullptr || std::memchr(found, 0, size + 1) != found + size) {
            ok_ = false;
            return "";
        }
        return found;
    }
    /// Count and strings, into `out` with a null pointer after them. @return the count
    std::size_t list(const char** out, std::size_t capacity) {
        const std::size_t count = u32();
        if (count >= capacity) ok_ = false;
        for (std::size_t i = 0; ok_ && i < count; ++i) out[i] = text();
        out[ok_ ? count : 0] = nullptr;
        return ok_ ? count : 0;
    }
    [[nodiscard]] bool ok() const { return ok_; }
    /// ok(), and nothing is left over.
    [[nodiscard]] bool complete() const { return ok_ && left_ == 0; }

private:
    const char* take(std::size_t size) {
        if (!ok_ || size > left_) {
            ok_ = false;
            return nullptr;
        }
        const char* found = at_;
        at_ += size;
        left_ -= size;
        return found;
    }
    void raw(void* to, std::size_t size) {
        if (const char* found = take(size); found != nullptr) std::memcpy(to, found, size);
    }
    const char* at_;
    std::size_t left_;
    Type type_{};
    bool ok_ = true;
};

}  // namespace lxmgr::wire
