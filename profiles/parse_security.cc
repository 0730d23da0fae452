#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::profiles {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> parse_limit(std::string_view text) {
    return text == "unlimited" ? kUnlimited : parse_uint(text);
}

std::unexpected<Error> bad_idmap(std::string_view line) {
    return fail(Status::bad_request,
                fmt::format("'{}' is not 'uid|gid|both HOST INSTANCE', each an id (1000) or a range "
                            "(1000-1099) of the same length",
                            line));
}

struct Span {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
};

std::optional<Span> parse_span(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_uint(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_uint(text.substr(dash + 1));
    // The last id is (uid_t)-1, which is none.
    if (!first || !last || *first > *last || *last >= UINT32_MAX) return std::nullopt;
    return Span{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last - *first + 1)};
}

// What the kernel keeps for each ipc, uts, network or user namespace: namespaces(7), sysctl(2).
bool is_namespaced(std::string_view path) {
    constexpr std::string_view kFamilies[] = {"net/", "fs/mqueue/", "user/", "kernel/msg", "kernel/shm"};
    constexpr std::string_view kSingles[] = {"kernel/sem", "kernel/sem_next_id", "kernel/auto_msgmni",
                                             "kernel/domainname", "kernel/hostname"};
    return std::ranges::any_of(kFamilies, [path](std::string_view f) { return path.starts_with(f); }) ||
           std::ranges::find(kSingles, path) != std::ranges::end(kSingles);
}

}  // namespace

Result<KernelLimitPair> parse_kernel_limit(std::string_view text) {
    const auto colon = text.find(':');
    const auto soft = parse_limit(text.substr(0, colon));
    const auto hard = colon == std::string_view::npos ? soft : parse_limit(text.substr(colon + 1));
    if (soft && hard && *soft <= *hard) return KernelLimitPair{*soft, *hard};
    return fail(Status::bad_request,
                fmt::format("'{}' is not a number or 'unlimited', or two of them as SOFT:HARD", text));
}

Result<std::vector<RawIdmapEntry>> parse_raw_idmap(std::string_view text) {
    // The kernel takes 340 ranges in all, user_namespaces(7); each entry splits one in up to three.
    constexpr std::size_t kMaxEntries = 100;
    std::vector<RawIdmapEntry> entries;
    for (const std::string& line : split(text, '\n')) {
        std::vector<std::string> words;
        for (const std::string& word : split(trim(line), ' '))
            if (!word.empty()) words.push_back(word);
        if (words.empty()) continue;
        if (words.size() != 3) return bad_idmap(line);
        const bool both = words[0] == "both";
        RawIdmapEntry entry{both || words[0] == "uid", both || words[0] == "gid", 0, 0, 0};
        const auto host = parse_span(words[1]);
        const auto inside = parse_span(words[2]);
        if ((!entry.uids && !entry.gids) || !host || !inside || host->count != inside->count)
            return bad_idmap(line);
        entry.host_first = host->first;
        entry.container_first = inside->first;
        entry.count = host->count;
        entries.push_back(entry);
        if (entries.size() > kMaxEntries)
            return fail(Status::bad_request, fmt::format("has more than {} lines", kMaxEntries));
    }
    return entries;
}

Result<std::string> sysctl_path(std::string_view name) {
    // As sysctl(8): the first separator tells which of the two separates.
    std::string path(name);
    const auto first = path.find_first_of("./");
    if (first != std::string::npos && path[first] == '.') {
        for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
    }
    for (const std::string& part : split(path, '/')) {
        if (part.empty() || part == "." || part == "..")
            return fail(Status::bad_request, "needs the name of a kernel parameter after the prefix");
    }
    if (!is_namespaced(path))
        return fail(Status::bad_request,
                    "names a kernel parameter that is the whole host's: net.*, fs.mqueue.*, user.*, "
                    "kernel.msg*, kernel.shm*, kernel.sem, kernel.domainname are an instance's own");
    return path;
}

}  // namespace lxmgr::profiles
