#include "images/architecture.h"

#include <array>

namespace lxmgr::images {
namespace {

/// LXD's architecture names, and the other names by which image makers call them.
struct Architecture {
    std::string_view name;
    std::array<std::string_view, 4> aliases;
};
constexpr std::array kArchitectures{
    Architecture{"x86_64", {"amd64"}},
    Architecture{"i686", {"i386", "i586", "386", "x86"}},
    Architecture{"aarch64", {"arm64"}},
    Architecture{"armv8l", {}},
    Architecture{"armv7l", {"armhf", "armhfp", "arm"}},
    Architecture{"armv6l", {"armel"}},
    Architecture{"ppc", {"powerpc"}},
    Architecture{"ppc64", {"powerpc64"}},
    Architecture{"ppc64le", {"ppc64el"}},
    Architecture{"s390x", {}},
    Architecture{"mips", {"mipsel"}},
    Architecture{"mips64", {"mips64el"}},
    Architecture{"riscv32", {}},
    Architecture{"riscv64", {}},
    Architecture{"loongarch64", {"loong64"}},
};

}  // namespace

std::string_view architecture_name(std::string_view given) {
    for (const auto& [name, aliases] : kArchitectures) {
        if (given == name) return name;
        for (const auto alias : aliases) {
            if (!alias.empty() && given == alias) return name;
        }
    }
    return "";
}

}  // namespace lxmgr::images
