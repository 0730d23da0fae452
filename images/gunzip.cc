#include "images/gunzip.h"

#include <isa-l/igzip_lib.h>

#include <algorithm>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/shared_library.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kUnpackedBytes = std::size_t{256} << 10;
constexpr std::size_t kMostInput = std::size_t{1} << 30;  // the library counts in 32 bits
constexpr std::string_view kGzipMagic = "\x1f\x8b";

constexpr const char* kInflaterLibrary = "libisal.so.2";

}  // namespace

/// Loaded while it is used, which takes 0.1 ms (measured): a daemon that reads no gzip does not carry it.
struct Gunzip::Inflater {
    SharedLibrary library{kInflaterLibrary};
    decltype(&::isal_inflate_init) init = nullptr;
    decltype(&::isal_inflate_reset) reset = nullptr;
    decltype(&::isal_inflate) inflate = nullptr;

    /// Null: it is not there.
    static std::unique_ptr<Inflater> load() {
        auto out = std::make_unique<Inflater>();
        if (!out->library) return nullptr;
        out->library.find("isal_inflate_init", out->init);
        out->library.find("isal_inflate_reset", out->reset);
        out->library.find("isal_inflate", out->inflate);
        if (out->library.missing() == nullptr) return out;
        log::warn("a library is not used",
                  {{"library", kInflaterLibrary}, {"missing", out->library.missing()}});
        return nullptr;
    }
};

bool Gunzip::is_gzip(std::string_view first) { return first.starts_with(kGzipMagic); }

std::unique_ptr<Gunzip> Gunzip::open(ByteSource& packed, std::string_view first) {
    if (!is_gzip(first)) return nullptr;
    auto inflater = Inflater::load();
    if (!inflater) return nullptr;
    return std::unique_ptr<Gunzip>(new Gunzip(std::move(inflater), packed, first));
}

Gunzip::Gunzip(std::unique_ptr<Inflater> inflater, ByteSource& packed, std::string_view first)
    : inflater_(std::move(inflater)),
      packed_(packed),
      input_(first),
      state_(std::make_unique<inflate_state>()),
      buffer_(std::make_unique_for_overwrite<unsigned char[]>(kUnpackedBytes)) {
    inflater_->init(state_.get());
}

Gunzip::~Gunzip() = default;

Result<> Gunzip::fetch(const std::stop_token& stop) {
    LX_TRY_AS(input_, packed_.next(stop));
    if (!input_.empty()) return {};
    if (!between_) return fail(Status::bad_request, "The gzip data ends too early");
    over_ = true;
    return {};
}

Result<std::size_t> Gunzip::inflate() {
    const std::size_t given = std::min(input_.size(), kMostInput);
    // It does not write there.
    state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(input_.data()));
    state_->avail_in = static_cast<std::uint32_t>(given);
    state_->next_out = buffer_.get();
    state_->avail_out = static_cast<std::uint32_t>(kUnpackedBytes);
    const int rc = inflater_->inflate(state_.get());
    if (rc != ISAL_DECOMP_OK)
        return fail(Status::bad_request, rc == ISAL_INCORRECT_CHECKSUM
                                             ? "The gzip data is broken: its checksum is another"
                                             : "The gzip data is broken");
    const std::size_t taken = given - state_->avail_in;
    input_.remove_prefix(taken);
    packed_bytes_ += taken;
    full_ = state_->avail_out == 0;
    between_ = state_->block_state == ISAL_BLOCK_FINISH;
    const std::size_t size = kUnpackedBytes - state_->avail_out;
    if (taken == 0 && size == 0 && !between_ && !input_.empty())
        return fail(Status::bad_request, "The gzip data is broken");
    return size;
}

Result<std::string_view> Gunzip::next(const std::stop_token& stop) {
    while (!over_) {
        if (input_.empty() && (between_ || !full_)) {
            LX_TRY(fetch(stop));
            continue;
        }
        if (between_) {
            over_ = input_.front() != kGzipMagic.front();
            if (over_) break;
            inflater_->reset(state_.get());
            state_->crc_flag = ISAL_GZIP;
        }
        LX_TRY_AS(const std::size_t size, inflate());
        if (size > 0) return std::string_view(reinterpret_cast<const char*>(buffer_.get()), size);
    }
    return std::string_view();
}

}  // namespace lxmgr::images
