#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::cli {

/// All of stdin, at most 16 MiB.
Result<std::string> read_stdin();

/// Runs a program on the user's terminal and waits for it: its environment, descriptors and process group are
/// ours, so that Ctrl-C reaches it. argv[0] is looked up in PATH. Errors: `not_found`; an exit status other
/// than 0 is `internal`.
Result<> run_on_terminal(const std::vector<std::string>& argv);

/// Opens the file in $VISUAL, $EDITOR or vi.
Result<> open_editor(const std::string& path);

/// Lets the user edit the text; `accept` gets what was written. When it fails, says why and offers the editor
/// again. An unchanged text is not given to `accept`.
Result<> edit_until_accepted(const std::string& text,
                             const std::function<Result<>(const std::string&)>& accept);

/// A fresh directory of ours (0700) below $TMPDIR or the given place, removed with all it holds.
class TemporaryDirectory {
public:
    static Result<TemporaryDirectory> create(const char* fallback = "/tmp");
    TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    ~TemporaryDirectory();
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace lxmgr::cli
