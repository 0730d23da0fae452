#include "lxmgr/editor.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/terminal.h"

extern char** environ;

namespace lxmgr::cli {
namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20;

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// Asks on the terminal; an end of input is "no".
bool ask_again() {
    fmt::print(stderr, "Press Enter to edit again, or Ctrl-D to give up. ");
    std::array<char, 256> answer{};
    return ::read(STDIN_FILENO, answer.data(), answer.size()) > 0;
}

}  // namespace

Result<std::string> read_stdin() {
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("read", "stdin");
        if (n == 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(n));
        if (text.size() > kMaxTextBytes) return fail(Status::too_large, "More than 16 MiB on stdin");
    }
}

Result<> run_on_terminal(const std::vector<std::string>& argv) {
    std::vector<std::string> words = argv;
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, pointers[0], nullptr, nullptr, pointers.data(), environ);
    if (error != 0) return fail(Status::not_found, fmt::format("Program '{}' cannot be started", argv[0]));
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return fail(Status::internal, fmt::format("Program '{}' failed", argv[0]));
}

Result<> open_editor(const std::string& path) {
    std::string editor = variable("VISUAL");
    if (editor.empty()) editor = variable("EDITOR");
    if (editor.empty()) editor = "vi";
    std::vector<std::string> argv;  // "code --wait" is usual, quoting is not
    for (auto& word : split(editor, ' ')) {
        if (!word.empty()) argv.push_back(std::move(word));
    }
    argv.push_back(path);
    return run_on_terminal(argv);
}

Result<> edit_until_accepted(const std::string& text,
                             const std::function<Result<>(const std::string&)>& accept) {
    LX_TRY_AS(const TemporaryDirectory directory, TemporaryDirectory::create());
    const std::string path = directory.path() + "/edit.yaml";
    LX_TRY(write_file_atomic(path, text));
    for (;;) {
        LX_TRY(open_editor(path));
        LX_TRY_AS(const std::string edited, read_file(path));
        if (edited == text) return {};
        const Result<> accepted = accept(edited);
        if (accepted) return {};
        print_error(accepted.error().message);
        if (!ask_again()) return fail(Status::bad_request, "Nothing was changed");
    }
}

Result<TemporaryDirectory> TemporaryDirectory::create(const char* fallback) {
    std::string path = variable("TMPDIR");
    if (path.empty()) path = fallback;
    path += "/lxmgr.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return fail_errno("mkdtemp", path);
    return TemporaryDirectory(path);
}

TemporaryDirectory::~TemporaryDirectory() {
    if (!path_.empty()) (void)remove_tree(path_);
}

}  // namespace lxmgr::cli
