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

struct Inflater {
    decltype(&::isal_inflate_init) init = nullptr;
    decltype(&::isal_inflate_reset) reset = nullptr;
    decltype(&::isal_inflate) inflate = nullptr;
};

Inflater load_inflater() {
    SharedLibrary library("libisal.so.2");
    if (!library) return {};
    Inflater out;
    library.find("isal_inflate_init", out.init);
    library.find("isal_inflate_reset", out.reset);
    library.find("isal_inflate", out.inflate);
    if (library.missing() != nullptr) {
        log::warn("libisal.so.2 is not used", {{"missing", library.missing()}});
        return {};
    }
    library.keep();
    return out;
}

const Inflater& inflater() {
    static const Inflater loaded = load_inflater();
    return loaded;
}

}  // namespace

bool Gunzip::is_gzip(std::string_view first) { return first.starts_with(kGzipMagic); }

std::unique_ptr<Gunzip> Gunzip::open(ByteSource& packed, std::string_view first) {
    if (!is_gzip(first) || inflater().inflate == nullptr) return nullptr;
    return std::unique_ptr<Gunzip>(new Gunzip(packed, first));
}

Gunzip::Gunzip(ByteSource& packed, std::string_view first)
    : packed_(packed),
      input_(first),
      state_(std::make_unique<inflate_state>()),
      buffer_(std::make_unique_for_overwrite<unsigned char[]>(kUnpackedBytes)) {
    inflater().init(state_.get());
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
    const int rc = inflater().inflate(state_.get());
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
            inflater().reset(state_.get());
            state_->crc_flag = ISAL_GZIP;
        }
        LX_TRY_AS(const std::size_t size, inflate());
        if (size > 0) return std::string_view(reinterpret_cast<const char*>(buffer_.get()), size);
    }
    return std::string_view();
}

}  // namespace lxmgr::images
