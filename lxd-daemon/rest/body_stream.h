#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "images/byte_source.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

/// A body that a worker reads while it comes in. What has come and is not read yet waits in one buffer of a
/// fixed size: when that is full the client has to wait. One writer on the I/O thread, one reader.
class BodyStream final : public images::ByteSource, public std::enable_shared_from_this<BodyStream> {
public:
    /// @param size_bytes  0: not known
    BodyStream(Services& services, std::uint64_t size_bytes);

    // I/O thread:
    /// Where the next bytes are to be put, when there is room; none: nobody reads on.
    static boost::asio::awaitable<std::span<char>> room(std::shared_ptr<BodyStream> self);
    /// So many bytes were put there.
    void came(std::size_t bytes);
    /// Called once, on that thread, when nobody reads on.
    void on_abandoned(std::function<void()> callback) { gone_ = std::move(callback); }
    [[nodiscard]] bool is_abandoned();
    /// Nothing more comes: it was all, or what broke. The first call counts.
    void end(Result<> how);

    // The reader:
    Result<std::string_view> next(const std::stop_token& stop) override;
    [[nodiscard]] bool is_ready() override;
    [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
    /// Nobody reads on. Any thread.
    void abandon();

private:
    void wake_writer();
    /// That the reader is woken for.
    [[nodiscard]] bool worth_reading() const { return filled_ >= part_bytes_ || how_.has_value(); }
    Result<> wait_for_bytes(std::unique_lock<std::mutex>& lock, const std::stop_token& stop);

    Services& services_;
    const std::uint64_t size_bytes_;
    boost::asio::steady_timer taken_;  ///< the writer waits for it
    std::function<void()> gone_;       ///< I/O thread only
    std::mutex mutex_;
    std::condition_variable_any came_;
    const std::size_t buffer_bytes_;
    const std::size_t part_bytes_;  ///< what the reader takes at a time
    std::unique_ptr<char[]> buffer_;
    std::size_t read_at_ = 0, filled_ = 0;  ///< bytes [read_at_, read_at_ + filled_) wait, round the end
    std::size_t lent_ = 0;                  ///< of them, those that the reader looks at
    std::optional<Result<>> how_;
    bool abandoned_ = false;
};

/// The reader's hold on it: who lets go of the last one reads no further.
std::shared_ptr<images::ByteSource> reading_end(const std::shared_ptr<BodyStream>& stream);

}  // namespace lxmgr::rest
