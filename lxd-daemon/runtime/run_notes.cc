#include "lxd-daemon/runtime/run_notes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::runtime {
namespace {

constexpr const char* kScoresNote = "oom_scores";
constexpr const char* kNodesNote = "nodes";
constexpr const char* kNoteTemporary = "note.tmp";

Result<> replace_note(int run_dir, const char* name, const std::string& text) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd fd(::openat(run_dir, kNoteTemporary, kFlags, 0600));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != std::ssize(text) ||
        ::renameat(run_dir, kNoteTemporary, run_dir, name) != 0)
        return fail_errno("Writing", name);
    return {};
}

std::optional<std::string> read_note(int run_dir, const char* name) {
    const UniqueFd fd(::openat(run_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return std::nullopt;
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t size = 0; (size = ::read(fd.get(), chunk.data(), chunk.size())) > 0;)
        text.append(chunk.data(), static_cast<std::size_t>(size));
    return text;
}

}  // namespace

Result<> note_oom_scores(int run_dir, const std::set<int>& scores) {
    return replace_note(run_dir, kScoresNote, fmt::format("{}\n", fmt::join(scores, " ")));
}

std::set<int> noted_oom_scores(int run_dir) {
    std::set<int> scores;
    const std::string text = read_note(run_dir, kScoresNote).value_or("");
    for (const std::string& word : split(trim(text), ' '))
        if (const auto score = parse_int(word)) scores.insert(static_cast<int>(*score));
    return scores;
}

/// Each ends with a NUL byte, as a path may hold any other.
Result<> note_nodes_given(int run_dir, const GivenNodes& nodes) {
    std::string text;
    for (const auto& [path, device] : nodes) {
        text += fmt::format("{} {} {} {}", device.block ? 'b' : 'c', device.major, device.minor.value_or(0),
                            path);
        text += '\0';
    }
    return replace_note(run_dir, kNodesNote, text);
}

std::optional<GivenNodes> noted_nodes(int run_dir) {
    const auto text = read_note(run_dir, kNodesNote);
    if (!text) return std::nullopt;
    GivenNodes nodes;
    for (const std::string& row : split(*text, '\0')) {
        unsigned major = 0, minor = 0;
        char kind = 0;
        int path = 0;
        if (std::sscanf(row.c_str(), "%c %u %u %n", &kind, &major, &minor, &path) == 3 && path > 0)
            nodes[row.substr(static_cast<std::size_t>(path))] = {kind == 'b', major, minor};
    }
    return nodes;
}

void remove_run_notes(int run_dir) {
    for (const char* name : {kScoresNote, kNodesNote, kNoteTemporary}) ::unlinkat(run_dir, name, 0);
}

}  // namespace lxmgr::runtime
