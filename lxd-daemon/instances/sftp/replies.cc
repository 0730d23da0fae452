#include "lxd-daemon/instances/sftp/replies.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>

#include "lxd-daemon/base/own.h"

namespace lxmgr::instances::sftp {
namespace {

constexpr std::uint32_t kAttributes = 1 | 2 | 4 | 8;  // size, owner, mode, times

void put32(std::string& out, std::uint64_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
}

void put_text(std::string& out, std::string_view text) {
    put32(out, text.size());
    out += text;
}

Code code_of(const Error& error) {
    if (error.status == Status::not_found || error.sys_errno == ENOENT || error.sys_errno == ENOTDIR)
        return Code::no_such_file;
    if (error.sys_errno == EACCES || error.sys_errno == EPERM || error.sys_errno == EROFS)
        return Code::permission_denied;
    return Code::failure;
}

std::string mode_letters(mode_t mode) {
    constexpr std::string_view kKinds = "?pc?d?b?-?l?s???";
    std::string out(1, kKinds[(mode & S_IFMT) >> 12]);
    for (unsigned bit = 8; bit < 9; --bit) out += (mode >> bit & 1U) != 0 ? "xwr"[bit % 3] : '-';
    const auto mark = [&out](bool set, std::size_t at, char letter) {
        if (set) out[at] = out[at] == 'x' ? letter : static_cast<char>(letter - 'a' + 'A');
    };
    mark((mode & S_ISUID) != 0, 3, 's');
    mark((mode & S_ISGID) != 0, 6, 's');
    mark((mode & S_ISVTX) != 0, 9, 't');
    return out;
}

/// As `ls` has it: the hour of the last half a year, the year of other times.
std::string listed_time(std::time_t time) {
    constexpr std::time_t kHalfYear = 365 * 24 * 3600 / 2;
    const std::time_t age = std::time(nullptr) - time;
    std::tm parts{};
    ::localtime_r(&time, &parts);
    char text[32];
    const bool recent = age >= 0 && age < kHalfYear;
    return {text, std::strftime(text, sizeof text, recent ? "%b %e %H:%M" : "%b %e  %Y", &parts)};
}

}  // namespace

std::string version_reply() {
    PacketWriter out(Type::version, 3);
    for (const auto& [name, version] :
         {std::pair{kPosixRename, "1"}, {kStatFileSystem, "2"}, {kHardLink, "1"}, {kSync, "1"}}) {
        out.text(name);
        out.text(version);
    }
    return std::move(out).finish();
}

std::string status_reply(std::uint32_t id, Code code, std::string_view message) {
    PacketWriter out(Type::status, id);
    out.u32(static_cast<std::uint32_t>(code));
    out.text(message);
    out.text("en");
    return std::move(out).finish();
}

std::string ok_reply(std::uint32_t id) { return status_reply(id, Code::ok, "Success"); }

std::string error_reply(std::uint32_t id, const Error& error) {
    return status_reply(id, code_of(error), error.message);
}

std::string encode_attributes(const struct stat& st, std::uint32_t uid, std::uint32_t gid) {
    std::string out;
    put32(out, kAttributes);
    put32(out, static_cast<std::uint64_t>(st.st_size) >> 32);
    put32(out, static_cast<std::uint64_t>(st.st_size));
    put32(out, uid);
    put32(out, gid);
    put32(out, st.st_mode);
    put32(out, static_cast<std::uint64_t>(st.st_atim.tv_sec));
    put32(out, static_cast<std::uint64_t>(st.st_mtim.tv_sec));
    return out;
}

std::string encode_name(const std::string& name, const struct stat& st, std::uint32_t uid,
                        std::uint32_t gid) {
    std::string out;
    put_text(out, name);
    put_text(out, fmt::format("{} {:4} {:<8} {:<8} {:8} {} {}", mode_letters(st.st_mode), st.st_nlink, uid,
                              gid, st.st_size, listed_time(st.st_mtim.tv_sec), name));
    return out + encode_attributes(st, uid, gid);
}

Result<std::vector<std::string>> names_in(int directory, const std::string& path) {
    struct Close {
        void operator()(DIR* dir) const { ::closedir(dir); }
    };
    UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy) return fail_errno("Opening", path);
    const std::unique_ptr<DIR, Close> dir(::fdopendir(copy.get()));
    if (!dir) return fail_errno("Reading", path);
    [[maybe_unused]] const int owned_by_dir = copy.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

}  // namespace lxmgr::instances::sftp
