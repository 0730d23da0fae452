#pragma once
#include <chrono>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "images/build.h"
#include "images/machine_init.h"
#include "images/root_tree.h"

namespace lxmgr::images {

/// One image being built.
struct Installation {
    const BuildRequest& request;
    const MachineInit& init;
    std::string suite;     ///< what the distribution calls the release
    std::string work_dir;  ///< removed at the end, whatever comes
    std::string root;      ///< in it: the root file system
    std::chrono::sys_seconds began;
    std::stop_token stop;
    std::function<void(const std::string&)> progress;  ///< may be empty
};

/// One distribution that images can be made of, in a file of its own.
struct Distro {
    std::string_view name;   ///< as in DISTRIBUTION/RELEASE
    std::string_view title;  ///< as people write it
    std::string (*suite)(const std::string& release);
    /// What is asked for and this one cannot do. Errors: `bad_request`.
    Result<> (*check)(const BuildRequest& request, const std::string& suite);
    /// Puts its packages into the root.
    Result<> (*install)(const Installation& job);
    /// What the installed tree needs to be a machine that boots cleanly as an instance.
    Result<> (*finish)(const RootTree& tree, const Installation& job);
    /// When the newest package was built: the same packages give the same time.
    Result<std::chrono::sys_seconds> (*newest)(const Installation& job);
};
std::span<const Distro> distros();
/// Errors: `bad_request`, which names those there are.
Result<const Distro*> find_distro(std::string_view name);

extern const Distro kDebian;
extern const Distro kUbuntu;
extern const Distro kFedora;

}  // namespace lxmgr::images
