#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "images/root_tree.h"

namespace lxmgr::images {

/// One init that a machine image can have as PID 1.
struct MachineInit {
    std::string_view name;  ///< as `lxmgr image build --init` says it
    std::span<const char* const> packages;
    /// Network by DHCP on eth0, a getty on the console, and nothing that can only fail in a container.
    Result<> (*set_up)(const RootTree& tree);
};
std::span<const MachineInit> machine_inits();
/// Errors: `bad_request`, which names those there are.
Result<const MachineInit*> find_machine_init(std::string_view name);

/// What is installed beside the essential packages of this suite.
std::vector<std::string> machine_packages(const MachineInit& init, std::string_view suite);

Result<> set_up_systemd(const RootTree& tree);
Result<> set_up_sysvinit(const RootTree& tree);

}  // namespace lxmgr::images
