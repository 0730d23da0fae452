#pragma once
#include <string>

namespace lxmgr::cli {

/// Watches typed bytes for Ctrl-a q, which may come in one read or in two. Ctrl-a Ctrl-a stands for one
/// Ctrl-a.
class DetachKey {
public:
    /// Takes our own keys out of `typed`. Returns true when the user wants to leave; the rest is then of no
    /// interest.
    bool filter(std::string& typed);

private:
    bool after_prefix_ = false;
};

}  // namespace lxmgr::cli
