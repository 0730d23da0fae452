#pragma once
#include <memory>

#include "images/byte_source.h"

struct inflate_state;

namespace lxmgr::images {

/// What is in gzip data (RFC 1952), member after member, unpacked by ISA-L: in half the time that zlib takes,
/// and with each member's checksum looked at. Whatever follows the last member is padding, as for gzip(1).
class Gunzip final : public ByteSource {
public:
    static bool is_gzip(std::string_view first);
    /// @param packed  outlives it
    /// @param first   what next() of `packed` has given already
    /// Null: `first` is not the beginning of gzip data, or the library is not there.
    static std::unique_ptr<Gunzip> open(ByteSource& packed, std::string_view first);
    ~Gunzip() override;

    /// Errors: those of `packed`; `bad_request` for data that is broken or ends too early.
    Result<std::string_view> next(const std::stop_token& stop) override;
    [[nodiscard]] std::uint64_t size_bytes() const override { return 0; }
    /// How many bytes of `packed` are behind it.
    [[nodiscard]] std::uint64_t packed_bytes() const { return packed_bytes_; }

private:
    struct Inflater;
    Gunzip(std::unique_ptr<Inflater> inflater, ByteSource& packed, std::string_view first);
    Result<> fetch(const std::stop_token& stop);
    Result<std::size_t> inflate();

    std::unique_ptr<Inflater> inflater_;
    ByteSource& packed_;
    std::string_view input_;  ///< of what came, that which is not unpacked yet
    std::uint64_t packed_bytes_ = 0;
    std::unique_ptr<inflate_state> state_;
    std::unique_ptr<unsigned char[]> buffer_;
    bool between_ = true;  ///< before a member, or behind the last one
    bool full_ = false;    ///< the buffer was too small: there may be more without further input
    bool over_ = false;
};

}  // namespace lxmgr::images
