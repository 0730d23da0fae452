#include "lxd-daemon/migration/messages.h"

#include <algorithm>
#include <array>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/migration/protobuf.h"

namespace lxmgr::migration {
namespace {

using std::chrono::seconds;

/// LXD's numbers of architectures.
constexpr std::array<std::string_view, 13> kArchitectures{"",       "i686",    "x86_64",  "armv7l", "aarch64",
                                                          "ppc",    "ppc64",   "ppc64le", "s390x",  "mips",
                                                          "mips64", "riscv32", "riscv64"};
/// Fields of our own.
constexpr std::uint32_t kFaithful = 1000, kBase = 1001, kWholeTree = 1002, kStreams = 1003,
                        kStreamBase = 1004;
constexpr std::uint32_t kIdentity = 1000;  ///< of a snapshot
/// Go's zero time in seconds since the epoch.
constexpr std::int64_t kGoZero = -62135596800;
constexpr std::int64_t kLastSecond = std::numeric_limits<std::int64_t>::max() / 1'000'000'000 - 1;

/// How many more fields a message may have, those of messages in it included: each takes more memory here
/// than on the wire, many times.
struct Allowance {
    std::size_t fields = kMaxFields;
};

/// Calls `read` for each field.
template <typename Read>
Result<> each_field(std::string_view message, Allowance& left, const Read& read) {
    ProtoReader reader(message);
    for (;;) {
        LX_TRY_AS(const auto field, reader.next());
        if (!field) return {};
        if (left.fields-- == 0) return fail(Status::bad_request, "The other server's message is too large");
        Result<> done = read(*field);
        LX_TRY(std::move(done));
    }
}

Result<std::string> text_of(const ProtoField& field) {
    if (!field.has_bytes || !is_utf8(field.bytes))
        return fail(Status::bad_request, "The other server sent a name or value that is no text");
    return std::string(field.bytes);
}

Time time_of(const ProtoField& field) {
    const auto value = static_cast<std::int64_t>(field.value);
    return value <= 0 || value > kLastSecond ? Time{} : Time{seconds{value}};
}

std::int64_t wire_time(Time time) {
    return time == Time{} ? kGoZero : std::chrono::floor<seconds>(time).time_since_epoch().count();
}

Result<> read_pair(std::string_view message, Allowance& left, api::ConfigMap& out) {
    std::string key, value;
    const auto read = [&](const ProtoField& field) -> Result<> {
        if (field.number != 1 && field.number != 2) return {};
        LX_TRY_AS((field.number == 1 ? key : value), text_of(field));
        return {};
    };
    LX_TRY(each_field(message, left, read));
    if (!value.empty()) out[key] = value;
    return {};
}

Result<> read_device(std::string_view message, Allowance& left, api::DeviceMap& out) {
    std::string name;
    api::ConfigMap keys;
    const auto read = [&](const ProtoField& field) -> Result<> {
        if (field.number == 2) return read_pair(field.bytes, left, keys);
        if (field.number != 1) return {};
        LX_TRY_AS(name, text_of(field));
        return {};
    };
    LX_TRY(each_field(message, left, read));
    out[name] = std::move(keys);
    return {};
}

/// It becomes part of what is noted beside a volume.
Result<std::string> identity_in(const ProtoField& field) {
    constexpr std::size_t kMaxIdentity = 64;
    LX_TRY_AS(std::string text, text_of(field));
    const auto is_plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; };
    if (text.size() <= kMaxIdentity && std::ranges::all_of(text, is_plain)) return text;
    return fail(Status::bad_request, "The other server gives a snapshot an identity that is none");
}

Result<Snapshot> read_snapshot(std::string_view message, Allowance& left) {
    Snapshot out;
    const auto read = [&out, &left](const ProtoField& field) -> Result<> {
        switch (field.number) {
            case 1: {
                LX_TRY_AS(out.name, text_of(field));
                return {};
            }
            case 2:
                return read_pair(field.bytes, left, out.config);
            case 3: {
                LX_TRY_AS(auto profile, text_of(field));
                out.profiles.push_back(std::move(profile));
                return {};
            }
            case 4:
                out.ephemeral = field.value != 0;
                return {};
            case 5:
                return read_device(field.bytes, left, out.devices);
            case 6:
                out.architecture = field.value < kArchitectures.size() ? kArchitectures[field.value] : "";
                return {};
            case 7:
                out.stateful = field.value != 0;
                return {};
            case 8:
                out.created_at = time_of(field);
                return {};
            case 9:
                out.last_used_at = time_of(field);
                return {};
            case 10:
                out.expires_at = time_of(field);
                return {};
            case kIdentity: {
                LX_TRY_AS(out.identity, identity_in(field));
                return {};
            }
            default:
                return {};
        }
    };
    LX_TRY(each_field(message, left, read));
    return out;
}

std::string pair_to_wire(const std::string& key, const std::string& value) {
    return ProtoWriter().bytes(1, key).bytes(2, value).take();
}

std::string to_wire(const Snapshot& snapshot) {
    ProtoWriter out;
    out.bytes(1, snapshot.name);
    for (const auto& [key, value] : snapshot.config) out.bytes(2, pair_to_wire(key, value));
    for (const auto& profile : snapshot.profiles) out.bytes(3, profile);
    out.flag(4, snapshot.ephemeral);
    for (const auto& [name, keys] : snapshot.devices) {
        ProtoWriter device;
        device.bytes(1, name);
        for (const auto& [key, value] : keys) device.bytes(2, pair_to_wire(key, value));
        out.bytes(5, device.take());
    }
    const auto* const architecture = std::ranges::find(kArchitectures, snapshot.architecture);
    out.number(6, architecture == kArchitectures.end()
                      ? std::uint64_t{0}
                      : static_cast<std::uint64_t>(architecture - kArchitectures.begin()));
    out.flag(7, snapshot.stateful);
    out.number(8, wire_time(snapshot.created_at)).number(9, wire_time(snapshot.last_used_at));
    out.number(10, wire_time(snapshot.expires_at));
    if (!snapshot.identity.empty()) out.bytes(kIdentity, snapshot.identity);
    return out.take();
}

Result<IdEntry> read_ids(std::string_view message, Allowance& left) {
    IdEntry out;
    LX_TRY(each_field(message, left, [&out](const ProtoField& field) -> Result<> {
        const auto number = static_cast<std::uint32_t>(field.value);
        if (field.number == 1) out.of_uids = field.value != 0;
        if (field.number == 2) out.of_gids = field.value != 0;
        if (field.number == 3) out.host_first = number;
        if (field.number == 4) out.container_first = number;
        if (field.number == 5) out.count = number;
        return {};
    }));
    return out;
}

/// How LXD says that memory stays behind.
constexpr std::uint64_t kNoProcesses = 2;

Result<RsyncFeatures> read_features(std::string_view message, Allowance& left) {
    RsyncFeatures out;
    LX_TRY(each_field(message, left, [&out](const ProtoField& field) -> Result<> {
        const bool on = field.value != 0;
        if (field.number == 1) out.xattrs = on;
        if (field.number == 2) out.remove = on;
        if (field.number == 3) out.compress = on;
        if (field.number == 4) out.bidirectional = on;
        if (field.number == kFaithful) out.faithful = on;
        return {};
    }));
    return out;
}

std::string to_wire(const RsyncFeatures& features) {
    ProtoWriter out;
    out.flag(1, features.xattrs).flag(2, features.remove).flag(3, features.compress);
    out.flag(4, features.bidirectional);
    if (features.faithful) out.flag(kFaithful, true);
    return out.take();
}

}  // namespace

std::string shown_text(std::string_view text) {
    constexpr std::size_t kMaxShown = 1000;
    std::string out(text.substr(0, std::min(text.size(), kMaxShown)));
    // A cut may be inside of a character.
    for (int i = 0; i < 3 && !out.empty() && text.size() > kMaxShown && !is_utf8(out); ++i) out.pop_back();
    const bool readable = is_utf8(out);
    for (char& c : out) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || (!readable && byte > 0x7f)) c = '?';
    }
    return out;
}

Result<Header> parse_header(std::string_view message) {
    Header out;
    Allowance left;
    const auto read = [&out, &left](const ProtoField& field) -> Result<> {
        switch (field.number) {
            case 1:
                out.by = field.value;
                return {};
            case 2:
                out.live = field.value != kNoProcesses;
                return {};
            case 3: {
                LX_TRY_AS(const auto entry, read_ids(field.bytes, left));
                out.idmap.push_back(entry);
                return {};
            }
            case 4: {
                LX_TRY_AS(auto name, text_of(field));
                out.snapshot_names.push_back(std::move(name));
                return {};
            }
            case 5: {
                if (out.snapshots.size() == kMaxSnapshots)
                    return fail(Status::bad_request, "The other server has too many snapshots");
                LX_TRY_AS(auto snapshot, read_snapshot(field.bytes, left));
                out.snapshots.push_back(std::move(snapshot));
                return {};
            }
            case 8: {
                LX_TRY_AS(out.rsync, read_features(field.bytes, left));
                return {};
            }
            case 9:
                out.refresh = field.value != 0;
                return {};
            case kBase: {
                LX_TRY_AS(out.base, text_of(field));
                return {};
            }
            case kWholeTree:
                out.whole = field.value != 0;
                return {};
            case kStreams: {
                LX_TRY_AS(out.streams, text_of(field));
                return {};
            }
            case kStreamBase: {
                LX_TRY_AS(out.stream_base, text_of(field));
                return {};
            }
            default:
                return {};
        }
    };
    LX_TRY(each_field(message, left, read));
    return out;
}

std::string to_wire(const Header& header) {
    ProtoWriter out;
    out.number(1, header.by);
    for (const auto& entry : header.idmap) {
        ProtoWriter ids;
        ids.flag(1, entry.of_uids).flag(2, entry.of_gids).number(3, std::uint64_t{entry.host_first});
        ids.number(4, std::uint64_t{entry.container_first}).number(5, std::uint64_t{entry.count});
        out.bytes(3, ids.take());
    }
    for (const auto& name : header.snapshot_names) out.bytes(4, name);
    for (const auto& snapshot : header.snapshots) out.bytes(5, to_wire(snapshot));
    out.flag(7, false);
    if (header.rsync) out.bytes(8, to_wire(*header.rsync));
    out.flag(9, header.refresh);
    if (!header.base.empty()) out.bytes(kBase, header.base);
    if (header.whole) out.flag(kWholeTree, true);
    if (!header.streams.empty()) out.bytes(kStreams, header.streams);
    if (!header.stream_base.empty()) out.bytes(kStreamBase, header.stream_base);
    return out.take();
}

Result<Verdict> parse_verdict(std::string_view message) {
    Verdict out;
    Allowance left;
    const auto read = [&out](const ProtoField& field) -> Result<> {
        if (field.number == 1) out.success = field.value != 0;
        if (field.number == 2) out.message = shown_text(field.bytes);
        return {};
    };
    LX_TRY(each_field(message, left, read));
    return out;
}

std::string to_wire(const Verdict& verdict) {
    return ProtoWriter().flag(1, verdict.success).bytes(2, verdict.message).take();
}

}  // namespace lxmgr::migration
