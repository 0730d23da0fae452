#include "lxmgr/detach.h"

#include <utility>

namespace lxmgr::cli {

bool DetachKey::filter(std::string& typed) {
    constexpr char kPrefix = '\x01';
    std::string passed;
    for (const char c : typed) {
        if (!after_prefix_ && c == kPrefix) {
            after_prefix_ = true;
            continue;
        }
        const bool special = std::exchange(after_prefix_, false);
        if (special && c == 'q') return true;
        if (special && c != kPrefix) passed += kPrefix;  // not for us after all: both bytes go on
        passed += c;
    }
    typed = std::move(passed);
    return false;
}

}  // namespace lxmgr::cli
